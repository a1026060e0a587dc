"""Why a method answered so, and what another memory would have made of it."""

import dataclasses
import json
import shutil

import pytest
import torch

from bench.explain.explain import Which, explain
from bench.explain.interventions import parse_relabels
from bench.reports.page.explanation import html, text
from bench.runner.api import run
from bench.utils.errors import BenchError
from tests import toy

METHODS = ["knn:k=5:vote=majority", "knn:k=5", "protonet", "zero-shot", "mml", "rac", "tip-adapter", "visual-memory"]
SET = {"mml.adapt_epochs": 1, "rac.steps": 3, "tip-adapter.beta_steps": 2, "visual-memory.k": 5, "mml.k": 4}
QUERY = "test/11"


@pytest.fixture(scope="module")
def data():
    return toy.dataset()


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    records = run("incremental", [*METHODS, "simplecil"], data, 2, set=SET, out=out, device="cpu")
    assert (records["status"] == "ok").all()
    return next(out.iterdir())


@pytest.fixture(scope="module")
def case(made, data):
    (found,) = explain(made, QUERY, data=data)
    return found


def by_method(case):
    return {explained.method: explained for explained in case.explained}


def near(case, method):
    return by_method(case)[method].before.evidence.neighbours


def test_every_answer_is_the_recorded_one(made, data):
    queries = [f"test/{n}" for n in range(0, 50, 7)]
    for seed in (0, 1):
        for case in explain(made, queries, Which(seed=seed), data=data):
            assert not case.warnings
            assert [e.recorded for e in case.explained] == [e.before.prediction for e in case.explained]
            assert len(case.explained) == len(METHODS)
            assert case.session == 4


def test_votes_add_up_to_the_scores(case):
    for method in ("knn(k=5)", "visual-memory", "knn(k=5,vote=majority)"):
        if method not in by_method(case):
            continue
        answer = by_method(case)[method].before
        votes = {}
        for item in answer.evidence.neighbours:
            votes[item.label] = votes.get(item.label, 0) + item.weight
        best = max(votes, key=lambda label: (votes[label], -label))
        assert best == answer.prediction
        # A majority has its ties broken by less than one vote.
        assert votes[best] == pytest.approx(answer.scores[0][1], abs=0.5 if "temperature" not in method else 1e-4)
        assert [n.similarity for n in answer.evidence.neighbours] == sorted(
            (n.similarity for n in answer.evidence.neighbours), reverse=True
        )


def test_tip_adapter_adds_its_neighbours_to_the_texts(case):
    answer = by_method(case)["tip-adapter"].before
    label, score = answer.scores[0]
    added = sum(n.weight for n in answer.evidence.neighbours if n.label == label)
    assert score == pytest.approx(100 * dict(answer.prototypes["text"])[label] + added, abs=1e-3)


def test_mml_attends_and_compares(case):
    answer = by_method(case)["mml"].before
    for branch in ("image", "text"):
        weights = [n.weight for n in answer.evidence.neighbours if n.branch == branch]
        assert len(weights) == 4
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    label, score = answer.scores[0]
    # Eq. 4: the score is the sum of the two cosines, times the scale of training.
    assert score == pytest.approx(25 * sum(dict(answer.prototypes[b])[label] for b in ("image", "text")), abs=5e-4)


def test_prototypes_are_those_that_are_scored(case, data):
    answer = by_method(case)["protonet"].before
    assert [label for label, _ in answer.prototypes["image"]] == [label for label, _ in answer.scores]
    assert answer.prototypes["image"][0][1] == pytest.approx(0.01 * answer.scores[0][1], abs=1e-5)
    zero = by_method(case)["zero-shot"].before
    assert zero.prototypes["text"][0][1] == pytest.approx(0.01 * zero.scores[0][1], abs=1e-5)


def test_an_excluded_item_is_gone_and_nothing_else(made, data, case):
    gone = near(case, "knn(k=5,vote=majority)")[0].item
    (found,) = explain(made, QUERY, exclude=[gone], data=data)
    for method, explained in by_method(found).items():
        before, after = explained.before.evidence.neighbours, explained.after.evidence.neighbours
        assert gone not in {n.item for n in after}
        if method == "knn(k=5,vote=majority)":
            assert before[1:] == after[:-1]
            stepped_in = after[-1]
    line = f"afterwards new image neighbours: {stepped_in.item} (class {stepped_in.label}, cosine "
    assert line in text(found)
    assert line.removeprefix("afterwards ") in html(found, lambda item: None)


@pytest.mark.parametrize("method", ["protonet", "tip-adapter"])
def test_leaving_an_item_out_is_a_run_that_never_had_it(made, data, tmp_path, method):
    gone = "train/3"
    (found,) = explain(made, QUERY, Which(methods=(method,)), exclude=[gone], data=data)
    train = data.splits["train"]
    smaller = dataclasses.replace(data, splits={**data.splits, "train": train.take(train.ids != gone)})
    run("incremental", [method], smaller, 1, set={k: v for k, v in SET.items() if k.startswith(method)}, out=tmp_path)
    (other,) = explain(next(tmp_path.iterdir()), QUERY, data=smaller)
    (explained,) = found.explained
    assert dict(explained.after.scores) == pytest.approx(dict(other.explained[0].before.scores), abs=1e-4)
    assert dict(explained.after.scores) != pytest.approx(dict(explained.before.scores), abs=1e-4)


def test_a_relabelled_item_votes_for_its_new_class(made, data, case):
    item = near(case, "visual-memory")[0]
    other = next(n for n, _ in enumerate(data.class_names) if n != item.label)
    (found,) = explain(made, QUERY, relabel=[f"{item.item}={data.class_names[other]}"], data=data)
    after = by_method(found)["visual-memory"].after.evidence.neighbours
    assert [(n.item, n.label) for n in after if n.item == item.item] == [(item.item, other)]
    # Similarity knows nothing of labels.
    assert [n.item for n in after] == [n.item for n in near(case, "visual-memory")]


def test_an_intervention_can_turn_the_answer(made, data, case):
    first = by_method(case)["knn(k=5)"]
    own = [n.item for n in first.before.evidence.neighbours if n.label == first.before.prediction]
    other = next(n for n, _ in enumerate(data.class_names) if n != first.before.prediction)
    (found,) = explain(made, QUERY, Which(methods=("knn(k=5)",)), relabel=[f"{i}={other}" for i in own], data=data)
    assert found.explained[0].after.prediction == other
    said = text(found)
    assert f"the answer becomes class {other}" in said
    assert f"now class {other}" in said


def test_the_run_is_left_as_it_was(made, data):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    x = data.splits["train"].x.clone()
    explain(made, QUERY, Which(methods=("mml",)), data=data)
    assert before == {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert torch.equal(x, data.splits["train"].x)


def test_an_earlier_session_knows_fewer_classes(made, data):
    asked = explain(made, QUERY, Which(methods=("protonet",)), data=data)[0]
    sessions = [n for n in range(5) if _asks(made, n, data)]
    (early,) = explain(made, QUERY, Which(session=sessions[0], methods=("protonet",)), data=data)
    assert early.session == sessions[0]
    assert asked.session == 4
    assert not early.warnings


@pytest.mark.parametrize("kind", ["methods", "scenarios", None])
def test_a_run_by_other_code_is_told_apart(made, data, tmp_path, kind):
    shutil.copytree(made, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text())
    for part in manifest[kind] if kind else [manifest]:
        if part.get("name") in ("protonet", "incremental", None):
            part["code"] = "other"
    path.write_text(json.dumps(manifest))
    said = {
        name: explain(tmp_path / "run", QUERY, Which(methods=(name,)), data=data)[0].warnings
        for name in ("protonet", "zero-shot")
    }
    assert "other code" in said["protonet"][0]
    assert bool(said["zero-shot"]) == (kind != "methods"), "the code of another method makes no difference"


def _asks(made, session, data):
    try:
        return bool(explain(made, QUERY, Which(session=session, methods=("protonet",)), data=data))
    except BenchError:
        return False


def test_a_method_that_cannot_explain_shows_its_scores_on_request(made, data):
    (found,) = explain(made, QUERY, Which(methods=("simplecil",)), data=data)
    assert found.explained[0].before.evidence is None
    assert "scores alone" in text(found)


@pytest.mark.parametrize(
    ("query", "which", "options", "message"),
    [
        ("test/1111", {}, {}, r"no query 'test/1111'; did you mean 'test/\d+'"),
        ("nowhere", {}, {}, r"no query 'nowhere'; there are 50, for instance 'test/0'"),
        (QUERY, {"methods": ("protnet",)}, {}, "no method 'protnet'; did you mean 'protonet'"),
        (QUERY, {"seed": 7}, {}, "no seed 7; known: 0, 1"),
        (QUERY, {"session": 11}, {}, "session 11 did not ask 'test/11'; these did: "),
        (QUERY, {"condition": {"base": "3"}}, {}, "no condition of the run has base = 3"),
        (QUERY, {}, {"exclude": ["train/1x1"]}, r"item 'train/1x1' up to session 4; did you mean 'train/\d+'"),
        (QUERY, {}, {"relabel": ["train/1"]}, "is not ITEM=CLASS"),
        (QUERY, {}, {"relabel": ["train/1=clas 1"]}, "no class 'clas 1'; did you mean 'class 1'"),
        (QUERY, {}, {"relabel": ["train/1=0"], "exclude": ["train/1"]}, "'train/1' is both left out and relabelled"),
        (QUERY, {}, {"relabel": ["train/1=0", "train/1=1"]}, "an item is relabelled twice"),
    ],
)
def test_what_is_not_there_is_one_line(made, data, query, which, options, message):
    with pytest.raises(BenchError, match=message) as caught:
        explain(made, query, Which(**which), data=data, **options)
    assert "\n" not in str(caught.value)


def test_other_data_is_refused(made):
    with pytest.raises(BenchError, match=r"is not what the run was made with .*--data"):
        explain(made, QUERY, data=toy.dataset(per_class=5))


def test_leaving_out_too_much_is_one_line(made, data):
    everything = data.splits["train"].ids.tolist()
    with pytest.raises(BenchError, match=r"after the intervention protonet needs images .*; leave more items in"):
        explain(made, QUERY, Which(methods=("protonet",)), exclude=everything, data=data)


def test_classes_are_given_by_name_or_id():
    assert parse_relabels(["a=b=Two Words", "c=0"], ["x", "two_words"]) == {"a=b": 1, "c": 0}


def test_the_page_is_whole_and_shows_images(case):
    page = html(case, lambda item: b"\x89PNG" if item == QUERY else None)
    assert page.count("data:image/png;base64,iVBORw==") == 1
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    for explained in case.explained:
        assert explained.method in page


def test_what_would_change_an_answer_is_named_by_methods_with_certificates(made, data):
    (found,) = explain(made, QUERY, data=data, removed=True)
    words = text(found)
    page = html(found, lambda name: None)
    for one in found.explained:
        assert (one.removals is not None) == (one.method.startswith(("knn", "protonet", "visual-memory")))
        if one.removals is None:
            continue
        for item, label in one.removals.alone.items():
            line = f"without {item}: {found.name_of(label)}"
            assert line in words
            assert line in page
        if not one.removals.alone and one.removals.becomes is not None:
            assert f"without {', '.join(one.removals.together)}: {found.name_of(one.removals.becomes)} (" in words
    assert any(one.removals is not None and one.removals.becomes is not None for one in found.explained)
    assert all(one.removals is None for one in explain(made, QUERY, data=data)[0].explained)
