"""open-set, long-tail, generalized, stream, shift, hierarchy and poison on data with known answers."""

import dataclasses
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import bench
from bench.core.features import Features
from bench.core.registry import METHODS
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.scenarios.generalized import Generalized
from bench.scenarios.hierarchy import ClassHierarchy
from bench.scenarios.long_tail import LongTail
from bench.scenarios.open_set import OpenSet
from bench.scenarios.poison import Poison
from bench.scenarios.shift import Shift
from bench.scenarios.stream import QueryStream
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy
from tests.scenarios.dealt import deals


def hazy(spread=0.4):
    data = toy.dataset(per_class=16)
    test = toy.cloud(list(range(10)), 10, data.class_names, "test", spread)
    return replace(data, splits={**data.splits, "test": test})


def measured(scenario, data, method="protonet", **options):
    frame = bench.run(scenario, [method], data, seeds=1, device="cpu", progress=False, **options).frame
    assert frame["status"].tolist() == ["ok"] * len(frame), frame["reason"].tolist()
    return [json.loads(text) for text in frame["measures"]], frame


# -- open-set ----------------------------------------------------------------------------------------------------------


def test_strangers_are_asked_among_the_queries_and_count_in_no_accuracy() -> None:
    ((_, episode),) = deals(OpenSet(unknown=0.3), hazy())
    (session,) = episode.sessions
    known, strange = set(session.task.classes), set(session.strangers.labels.tolist())
    assert len(known) == 7
    assert len(strange) == 3
    assert not known & strange
    assert sum(session.measure.near) == 20, "of three unknown classes two are near"
    (blocks,) = Handover(episode, 0).blocks
    assert len(blocks.order) == 100
    first = blocks.order[:70] < 70
    assert 0.4 < first.float().mean() < 0.95, "strangers are not all at the end"
    (measures,), frame = measured(OpenSet(unknown=0.3), hazy())
    assert frame["n_queries"].tolist() == [70]
    assert measures["auroc"][1] <= measures["auroc"][0] <= measures["auroc"][2]
    assert {"fpr95", "aupr", "oscr", "aurc", "auroc_energy", "auroc_knn", "auroc_mahalanobis"} <= set(measures)
    assert measures["auroc"][0] > 0.6


def test_an_unknown_query_that_is_a_known_one_is_refused() -> None:
    data = hazy()
    ((_, episode),) = deals(OpenSet(), data)
    known, strange = episode.sessions[0].task.classes[0], int(episode.sessions[0].strangers.labels[0])
    test, x = data.splits["test"], data.splits["test"].x.clone()
    x[int((test.labels == strange).nonzero()[0])] = x[int((test.labels == known).nonzero()[0])]
    same = replace(data, splits={**data.splits, "test": replace(test, x=x)})
    with pytest.raises(BenchError, match="queries of unknown classes"):
        deals(OpenSet(), same)


def test_a_share_that_leaves_one_known_class_is_refused() -> None:
    with pytest.raises(BenchError, match=r"open-set.unknown=0.95 leaves 0 known classes of 10"):
        list(OpenSet(unknown=0.95).conditions(hazy()))


# -- long-tail ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("law", "expected"), [("exponential", [16, 14, 12, 10, 9, 7, 6, 5, 5, 4]), ("zipf", None)])
def test_classes_shrink_by_the_law_and_smaller_ones_are_nested(law: str, expected: list[int] | None) -> None:
    (_, even), (_, steep) = deals(LongTail(law=law, ratios=(1.0, 4.0)), hazy())
    counts = sorted(torch.bincount(steep.sessions[0].task.support.labels).tolist(), reverse=True)
    by_rank = [16 * (n + 1) ** (-np.log(4) / np.log(10)) for n in range(10)]
    assert counts == (expected or [int(np.floor(n + 0.5)) for n in by_rank])
    whole, few = (set(e.sessions[0].task.support.ids.tolist()) for e in (even, steep))
    assert few < whole
    groups = steep.sessions[0].measure.groups
    sizes = torch.bincount(steep.sessions[0].task.support.labels).numpy()
    assert sizes[groups["many"]].min() >= sizes[groups["medium"]].max() >= sizes[groups["few"]].max()


def test_an_imbalance_that_leaves_a_class_empty_is_refused() -> None:
    with pytest.raises(BenchError, match="leaves the smallest class without an image of 16 in the largest"):
        list(LongTail(ratios=(1.0, 100.0)).conditions(hazy()))
    with pytest.raises(BenchError, match="has 16 images; ask for at most 16"):
        list(LongTail(shots=17).conditions(hazy()))


# -- generalized -------------------------------------------------------------------------------------------------------


def test_unseen_classes_have_no_labelled_image_and_compete() -> None:
    data = toy.dataset(images=False, per_class=16)
    ((_, episode),) = deals(Generalized(seen=0.6), data)
    (session,) = episode.sessions
    assert len(session.task.classes) == 10
    assert set(session.task.support.labels.tolist()) == {
        c for c, seen in zip(session.task.classes, session.measure.seen, strict=True) if seen
    }
    (measures,), _ = measured(Generalized(), data)
    assert measures["seen"][0] > 0.9
    assert measures["unseen"][0] == measures["harmonic"][0] == 0.0, "a class mean has no unseen class to answer with"
    (measures,), _ = measured(Generalized(), data, "zero-shot")
    assert measures["harmonic"][0] > 0.9
    assert measures["ausuc"][0] > 0.9


# -- stream ------------------------------------------------------------------------------------------------------------


def test_orders_are_of_the_same_queries_and_come_as_they_are_called() -> None:
    data = hazy()
    orders = {}
    for condition, episode in deals(QueryStream(), data):
        (blocks,) = Handover(episode, 0).blocks
        orders[condition["order"]] = blocks.labels.tolist()
        assert torch.equal(blocks.dealt(blocks.labels), episode.sessions[0].queries.labels)

    def runs(labels: list[int]) -> int:
        return sum(a != b for a, b in itertools.pairwise(labels))

    assert runs(orders["by-class"]) == 9
    assert 9 < runs(orders["drifting"]) < runs(orders["shuffled"])
    one, two = (deals(QueryStream(orders=("by-class",)), data, seed)[0][1].sessions[0] for seed in (0, 1))
    assert one.order != two.order


def test_a_stream_of_one_class_is_refused() -> None:
    data = toy.dataset()
    one = replace(data, splits={**data.splits, "test": data.splits["test"].of_classes([3])})
    with pytest.raises(BenchError, match="a stream of queries of one class has one answer"):
        deals(QueryStream(), one)


@pytest.mark.parametrize("method", ["tda", "dmn", "transclip", "zlap"])
def test_who_sees_more_gains_nothing_from_the_order_of_shuffled_queries(method: str) -> None:
    """Under ten other shuffles accuracy stays within what one query in ten could change."""
    data, right = hazy(0.5), []
    ((_, episode),) = deals(QueryStream(orders=("shuffled",), shots=0), data)
    for seed in range(4):
        (outcome,) = run_cell(METHODS.get(method).cls(), Handover(episode, seed), label=method).outcomes
        right.append(int((outcome.predictions == outcome.session.queries.labels).sum()))
    assert max(right) - min(right) <= 10
    if METHODS.get(method).cls.about.sees == "set":
        assert max(right) == min(right)


# -- shift -------------------------------------------------------------------------------------------------------------


def test_moved_queries_cost_more_the_further_they_are_moved() -> None:
    drops = [measured(Shift(severity=s), hazy(0.3))[0][0] for s in (0.0, 0.8, 2.0)]
    assert drops[0]["drop"][0] == pytest.approx(0.0)
    assert drops[0]["drop"][0] < drops[2]["drop"][0]
    assert len({one["unshifted"][0] for one in drops}) == 1


def test_features_without_images_cannot_be_distorted() -> None:
    recipe = Shift(distort="blur")
    (condition,) = recipe.conditions(hazy(0.3))
    with pytest.raises(BenchError, match=r"features only, and shift.distort=blur needs the image of each query"):
        recipe.deal(hazy(0.3), condition, rng=Stream(0))
    with pytest.raises(BenchError, match=r"leave it out, or leave shift.train_on out"):
        list(Shift(distort="blur", train_on="toy").conditions(hazy(0.3)))


def test_queries_of_another_data_set_are_matched_by_the_names_of_classes() -> None:
    source = hazy(0.2)
    names = tuple(reversed(source.class_names[:8]))
    target = toy.dataset(8, name="elsewhere")
    flipped = target.splits["test"]
    flipped = Features(flipped.x, 7 - flipped.labels, flipped.ids, names)
    target = dataclasses.replace(
        target, class_names=names, splits={"test": flipped}, roles={"query": ("test",)}, prompts=target.prompts.take([])
    )
    recipe = Shift(train_on="toy")
    (condition,) = recipe.conditions(target)
    (session,) = recipe.deal(target, condition, rng=Stream(0), source=source).sessions
    assert [target.class_names[c] for c in session.task.classes] == list(names)
    where = {c: n for n, c in enumerate(session.task.classes)}
    for rows in (session.task.support, session.strangers):
        assert {target.class_names[c] for c in rows.labels.tolist()} == set(names)
    assert session.measure.columns.tolist() == [where[c] for c in session.strangers.labels.tolist()]
    of_source = {n: source.splits["train"].of_classes([i]).x for i, n in enumerate(source.class_names)}
    for x, label in zip(session.task.support.x, session.task.support.labels.tolist(), strict=True):
        assert (of_source[target.class_names[label]] == x).all(1).any()
    other = dataclasses.replace(source, class_names=tuple(f"other {n}" for n in range(10)))
    with pytest.raises(BenchError, match="0 class names in common"):
        recipe.deal(target, condition, rng=Stream(0), source=other)
    with pytest.raises(BenchError, match=r"shift.train_on is the data set .* itself"):
        recipe.deal(target, condition, rng=Stream(0), source=target)


# -- hierarchy ---------------------------------------------------------------------------------------------------------


def test_a_tree_is_read_made_of_words_or_of_mean_images(tmp_path) -> None:
    data = hazy()
    assert next(iter(ClassHierarchy().conditions(data)))["tree"] == "mean images"
    names = tuple(f"{('latin', 'greek')[n % 2]} letter {n}" for n in range(10))
    worded = replace(data, class_names=names, splits={k: replace(v, class_names=names) for k, v in data.splits.items()})
    assert next(iter(ClassHierarchy().conditions(worded)))["tree"] == "words of names"
    path = tmp_path / "tree.json"
    path.write_text(json.dumps({f"class {n}": ["even" if n % 2 == 0 else "odd"] for n in range(10)}))
    ((condition, episode),) = deals(ClassHierarchy(tree=path), data)
    assert condition["tree"].split()[0] == "tree.json"
    nodes = episode.sessions[0].measure.nodes
    assert nodes[0, 1] == nodes[2, 1] != nodes[1, 1]
    (measures,), _ = measured(ClassHierarchy(tree=path), data)
    assert 1 <= measures["mistake_height"][0] <= 2
    assert measures["backoff_accuracy"][0] >= 0.5
    path.write_text(json.dumps({f"class {n}": ["low" if n < 5 else "high"] for n in range(10)}))
    assert next(iter(ClassHierarchy(tree=path).conditions(data))) != condition, "another content is another condition"
    with pytest.raises(BenchError, match="names synsets of no tree"):
        list(ClassHierarchy(synsets=path).conditions(data))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"class 0": ["a"]}', "leaves out 9 classes of toy, 'class 1' first"),
        ("[]", "is no JSON object"),
        ("{", "cannot be read"),
        (json.dumps({f"class {n}": "a" for n in range(10)}), "'class 0' needs a list"),
    ],
)
def test_a_tree_that_does_not_cover_the_classes_is_refused(tmp_path, text: str, said: str) -> None:
    path = tmp_path / "tree.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=said):
        list(ClassHierarchy(tree=path).conditions(hazy()))


# -- poison ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["random", "hubness", "collision"])
@pytest.mark.parametrize("action", ["add", "relabel", "delete"])
def test_as_many_images_are_changed_as_are_asked_for(action: str, chosen: str) -> None:
    (_, clean), (_, spoilt), (_, more) = deals(Poison(counts=(0, 3, 6), action=action, chosen=chosen), hazy())
    before, after = (e.sessions[0].task.support for e in (clean, spoilt))
    old = dict(zip(before.ids.tolist(), before.labels.tolist(), strict=True))
    new = dict(zip(after.ids.tolist(), after.labels.tolist(), strict=True))
    added, gone = set(new) - set(old), set(old) - set(new)
    changed = {name for name in set(old) & set(new) if old[name] != new[name]}
    expected = {"add": (3, 0, 0), "delete": (0, 3, 0), "relabel": (0, 0, 3)}[action]
    assert (len(added), len(gone), len(changed)) == expected
    for name in added:
        assert new[name] != old[name.removesuffix(" (added)")]
    told = [json.dumps(e.sessions[0].notes["poisoned"]) for e in (spoilt, more)]
    assert told[1].startswith(told[0][:-1]), "six changes include three"


def test_more_changes_than_images_are_refused() -> None:
    with pytest.raises(BenchError, match=r"poison.counts has 99, and there are 40 labelled images"):
        deals(Poison(counts=(99,)), hazy())


def test_what_is_certified_no_attack_of_that_size_takes_away() -> None:
    """The certified queries stay right under a vote of the same k, whatever is relabelled."""
    data = hazy(0.25)
    recipe = Poison(counts=(2,), shots=8, k=9, chosen="random")
    certified, every = None, None
    for seed in range(4):
        rng = Stream(seed).child("poison-test")
        episode = recipe.deal(data, {"shots": 8, "changed": 2}, rng=rng)
        (session,) = episode.sessions
        x, keys = session.queries.x, session.task.support
        near = (x @ keys.x.T).topk(9, dim=1).indices
        votes = torch.nn.functional.one_hot(session.task.columns(keys.labels)[near], 10).sum(1)
        right = (votes.argmax(1) == session.task.columns(session.queries.labels)).numpy()
        stays = session.measure.stays
        assert right[stays].all()
        certified, every = stays.mean(), right.mean()
    assert 0.1 < certified < every
