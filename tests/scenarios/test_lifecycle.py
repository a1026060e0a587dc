"""The life of a memory: edits, exact removal, what is left of the answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import bench
from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.core.protocols import About
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.learning.pruning import misleading_counts
from bench.methods.knn import KNN
from bench.runner.answers import _answer
from bench.scenarios.lifecycle import Lifecycle
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests.parity._naive import make
from tests.scenarios.dealt import deals, memory_ids
from tests.toy import dataset, items


def lifecycle(*script: str, data: Dataset | None = None) -> list[Any]:
    return list(deals(Lifecycle(script=script), data or dataset())[0][1].sessions)


def test_a_forgotten_class_is_never_answered_again_and_others_lose_nothing() -> None:
    recipe = Lifecycle(script=("forget-class:class 3",), memory="support")
    # With the nearest item or the nearest mean, to take a class away can only turn an answer to it into another.
    frame = bench.run(recipe, ["knn:k=1", "protonet"], dataset(images=False, texts=False), seeds=1).frame
    for _, rows in frame.groupby("method"):
        before, after = (dict(zip(r.classes, r.class_correct, strict=True)) for r in rows.itertuples())
        assert before[3] > 0
        assert after[3] == 0
        assert all(after[c] >= before[c] for c in before if c != 3)


def test_forgetting_is_exact_and_removed_items_are_nowhere_in_the_state() -> None:
    recipe = Lifecycle(script=("remove:0.3", "forget-source", "forget-class"))
    frame = bench.run(recipe, ["knn", "protonet", "linear-probe"], dataset(), seeds=1).frame
    edited = frame[frame["session"] > 0]
    for row in edited.itertuples():
        edit = json.loads(row.details)["edit"]
        assert edit["removed"] == json.loads(row.notes)["items_removed"] > 0
        assert edit["removed_found"] == 0
        if row.session_kind == "forgotten":
            assert edit["max_score_difference"] < 1e-4
        else:
            assert (row.session_kind, edit["max_score_difference"]) == ("rebuilt", None)
    kinds = edited.groupby("method")["session_kind"].unique().map(list).to_dict()
    assert kinds == {"knn": ["forgotten"], "protonet": ["forgotten"], "linear-probe": ["rebuilt"]}


@dataclass(frozen=True, kw_only=True)
class InNameOnly:
    """Says that it forgets and does not."""

    name: ClassVar[str] = "in-name-only"
    about: ClassVar[About] = About(paper="-", equation="-", fidelity="faithful")

    def build(self, task: Task, *, rng: Stream) -> Any:
        return KNN(k=1).build(task, rng=rng)

    def forget(self, state: Any, task: Task, ids: Any) -> Any:
        return state

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        return KNN(k=1).score(state, queries)


def test_items_that_were_not_forgotten_are_found_out() -> None:
    frame = bench.run(Lifecycle(script=("forget-class",)), [InNameOnly], dataset(), seeds=1).frame
    edit = json.loads(frame["details"].iloc[1])["edit"]
    # The votes of one neighbour are one apart; 8 images of the class, and 3 texts that the state never held.
    assert edit["max_score_difference"] >= 0.9
    assert (edit["removed"], edit["removed_found"]) == (11, 8)


def test_a_class_comes_with_its_items_and_a_source_with_those_of_classes_that_have_come() -> None:
    start, with_class, with_source = lifecycle("add-class:class 5+class 2", "add-source:web-b")
    assert start.task.classes == (0, 1, 3, 4, 6, 7, 8, 9)
    assert with_class.task.classes == (0, 1, 3, 4, 6, 7, 8, 9, 5, 2)
    assert set(start.queries.labels.tolist()) == set(start.task.classes)
    assert [len(s.task.memory.images) for s in (start, with_class, with_source)] == [32, 40, 80]
    assert set(with_class.task.memory.images.sources.tolist()) == {"web-a"}
    assert memory_ids(with_source.task.memory) == memory_ids(dataset().memory)
    late = lifecycle("add-source:web-b", "add-class:class 5")[2].task.memory
    assert memory_ids(late) == memory_ids(dataset().memory)


def test_named_items_are_removed_relabelled_ones_stay_and_drawn_classes_differ() -> None:
    first, second = dataset().memory.images.ids[:2].tolist()
    start, removed, noisy = lifecycle(f"remove:{first}+{second}", "relabel:0.5")
    assert memory_ids(start.task.memory) - memory_ids(removed.task.memory) == {first, second}
    assert removed.edit is not None
    assert set(removed.edit.removed) == {first, second}
    assert memory_ids(noisy.task.memory) == memory_ids(removed.task.memory)
    assert int((noisy.task.memory.images.labels != removed.task.memory.images.labels).sum()) == 39
    moved = lifecycle(f"relabel:{first}=class 7")[1].task.memory.images
    assert moved.labels.tolist() == [7, *dataset().memory.images.labels.tolist()[1:]]
    of = [s.notes["of"][0] for s in lifecycle("add-class", "add-class", "forget-class")[1:]]
    assert len(set(of)) == 3


def test_pruning_removes_what_misleads_and_nothing_else() -> None:
    x = torch.eye(4)[[0, 0, 0, 0, 1, 1, 1, 1]] + 0.01 * torch.eye(8)[:, :4]
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    own = Items(x, labels, np.array(list("abcdefgh")), np.full(8, "s"))
    # Item d lies among class 0: it misleads a, b and c, and each of them misleads d. The others see their own kind.
    assert misleading_counts(own, 3).tolist() == [1, 1, 1, 3, 0, 0, 0, 0]
    data = dataset(2)
    given = replace(data, memory=Memory(replace(own, x=torch.nn.functional.pad(x, (0, 12))), data.memory.texts))
    before, after = (s.task.memory for s in deals(Lifecycle(script=("prune:3",), neighbours=3), given)[0][1].sessions)
    assert memory_ids(before) - memory_ids(after) == {"d"}


def test_soft_pruning_removes_nothing_and_the_vote_of_an_item_counts_for_less_the_more_it_misled() -> None:
    """As above: a, b and c misled one other each, d three, the rest none; 1.75 / (1 + count)."""
    x = torch.eye(4)[[0, 0, 0, 0, 1, 1, 1, 1]] + 0.01 * torch.eye(8)[:, :4]
    own = Items(
        torch.nn.functional.pad(x, (0, 12)), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]), np.array(list("abcdefgh")),
        np.full(8, "s"),
    )  # fmt: skip
    given = replace(dataset(2), memory=Memory(own, dataset(2).memory.texts))
    ((_, episode),) = deals(Lifecycle(script=("prune-soft", "remove:d")), given)
    before, softened, without_d = (s.task for s in episode.sessions)
    assert memory_ids(softened.memory) == memory_ids(before.memory)
    assert episode.sessions[1].edit is not None
    assert episode.sessions[1].edit.removed == ()
    method = METHODS.get("visual-memory").cls(soft_k=3)

    def votes(task: Task) -> dict[str, float]:
        state = method.build(replace(task, support=task.support.take([])), rng=Stream(0))
        return dict(zip(state.items.ids.tolist(), state.weights.tolist(), strict=True))

    assert set(votes(before).values()) == {1.0}
    misled = {"a": 1, "b": 1, "c": 1, "d": 3, "e": 0, "f": 0, "g": 0, "h": 0}
    assert votes(softened) == pytest.approx({name: 1.75 / (1 + n) if n else 1.0 for name, n in misled.items()})
    # It lasts, and is counted anew: without d a third neighbour of a, b and c is of class 1, the first of its equals.
    expected = dict.fromkeys("abcfgh", 1.0) | {"e": 1.75 / 4}
    assert votes(without_d) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prune-soft:3", "prune-soft stands alone"),
        ("forget-clas", "unknown edit 'forget-clas'; did you mean 'forget-class'"),
        ("remove:nobody", "no item 'nobody'"),
        ("forget-class:class 99", "'class 99' is no class"),
        ("forget-source:nowhere", "no source 'nowhere'"),
        ("add-source:nowhere", "no source 'nowhere'"),
        ("relabel:some", "relabel:some needs a number"),
        ("relabel:nobody=class 1", "no image 'nobody'"),
        ("relabel:web-a/0=class", "'class' is no class"),
        ("remove:1.5", "remove:1.5 needs a share from 0 to 1"),
        ("prune:-4", "prune:-4 needs a whole number"),
        ("prune:1.5", "prune:1.5 needs a whole number"),
    ],
)
def test_a_wrong_edit_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        lifecycle(line)


def test_sources_are_simulated_where_there_is_one() -> None:
    data = dataset()
    single = replace(data, memory=data.memory.replace(images=items(data.splits["train"], "web")))
    start, grown = lifecycle("add-source", data=single)
    assert grown.notes["simulated_sources"]
    assert [len(s.task.memory.images) for s in (start, grown)] == [30, 60]


def test_the_notes_hold_what_was_relabelled() -> None:
    before, after = lifecycle("relabel:0.5")
    old, new = before.task.memory.images, after.task.memory.images
    rows = (old.labels != new.labels).nonzero().squeeze(1).tolist()
    told = [[str(old.ids[r]), f"class {int(old.labels[r])}", f"class {int(new.labels[r])}"] for r in rows]
    assert len(told) == 40
    assert after.notes["relabelled"] == told


def test_a_name_with_a_plus_in_it_is_one_name() -> None:
    data = dataset()
    images = data.memory.images
    names = images.ids.copy()
    names[:2] = ["U+0", "U+0/1+2"]
    data = replace(data, memory=data.memory.replace(images=replace(images, ids=names)))
    third = str(names[2])
    before, after = lifecycle(f"remove:U+0/1+2+U+0+{third}", data=data)
    assert memory_ids(before.task.memory) - memory_ids(after.task.memory) == {"U+0", "U+0/1+2", third}
    moved = lifecycle("relabel:U+0/1+2=class 3+U+0=class 4", data=data)[1].task.memory.images
    assert moved.labels.tolist()[:3] == [4, 3, 0]


def test_an_edit_of_nothing_that_is_there_is_refused_before_anything_is_dealt() -> None:
    for line, message in (
        ("remove:nobody", "no item 'nobody'"),
        ("add-source:nowhere", "no source 'nowhere'"),
        ("forget-class:class 99", "'class 99' is no class"),
        ("relabel:nobody=class 1", "no image 'nobody'"),
    ):
        with pytest.raises(BenchError, match=message):
            list(Lifecycle(script=("add-class", line)).conditions(dataset()))


def test_drawn_classes_are_none_that_are_named_and_do_not_run_out_silently() -> None:
    for seed in range(5):
        script = ("forget-class:class 3", *["forget-class"] * 9)
        ((_, episode),) = deals(Lifecycle(script=script), dataset(), seed)
        assert sorted(s.notes["of"][0] for s in episode.sessions[1:]) == [f"class {c}" for c in range(10)]
    with pytest.raises(BenchError, match="no class is left for 'forget-class'"):
        lifecycle(*["forget-class"] * 11)
    with pytest.raises(BenchError, match="a class is added twice"):
        lifecycle("add-class:class 1", "add-class:class 1+class 2")
    texts = replace(dataset(), memory=Memory(Items.empty(16), dataset().memory.texts))
    with pytest.raises(BenchError, match="'forget-source' needs image items of two sources"):
        list(Lifecycle(script=("forget-source",), memory="declared").conditions(texts))


def test_simulated_sources_are_said_and_share_the_vectors() -> None:
    data = dataset(images=False)
    (condition,) = Lifecycle(script=("forget-source",)).conditions(data)
    assert condition["sources"] == "simulated for images"
    (plain,) = Lifecycle(script=("remove",)).conditions(data)
    assert "sources" not in plain
    start = lifecycle("forget-source", data=data)[0].task.memory.images
    assert start.x.data_ptr() == data.splits["train"].x.data_ptr()
    assert sorted(set(start.sources.tolist())) == ["A", "B"]


def test_items_are_looked_up_some_at_a_time_with_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = dataset(per_class=9).memory.images
    whole = misleading_counts(images, 20)
    similar = normalise(images.x).double() @ normalise(images.x).double().T
    others = similar.fill_diagonal_(-2).argsort(dim=1, descending=True)[:, :20]
    wrong = images.labels[others] != images.labels.unsqueeze(1)
    assert whole.tolist() == others[wrong].bincount(minlength=len(images)).tolist()
    assert whole.max() > 0
    monkeypatch.setattr("bench.learning.pruning._LOOKED_UP", 7)
    assert misleading_counts(images, 20).tolist() == whole.tolist()


@pytest.mark.parametrize("name", METHODS.names())
def test_a_memory_may_be_emptied(name: str) -> None:
    """Where nothing is left to answer from, no class is likelier than another; what cannot answer at all is skipped."""
    frame = bench.run(Lifecycle(script=("remove:1.0",)), [name], dataset(texts=False, n_classes=3), seeds=1).frame
    if (frame["status"] == "skipped").all():
        assert frame["reason"].notna().all()
        return
    assert (frame["status"] == "ok").all()


def test_queries_that_no_class_has_an_item_for_are_answered_with_confidence_1_in_c() -> None:
    (session,) = (s for s in lifecycle("remove:1.0", data=dataset(3)) if s.edit)
    state = make("protonet").build(session.task, rng=Stream(0))
    scores = make("protonet").score(state, session.queries.x)
    assert (scores == -torch.inf).all()
    confidences = _answer(scores, session.task.columns(session.queries.labels), 1.0)[2]
    torch.testing.assert_close(confidences, torch.full_like(confidences, 1 / 3))


def test_what_is_gone_already_can_be_forgotten() -> None:
    script = ("remove:1.0", "forget-class:class 3", "forget-source:web-a")
    notes = [s.notes["items_removed"] for s in lifecycle(*script, data=dataset(texts=False))[1:]]
    assert notes == [80, 0, 0]
