"""Class-incremental learning: sessions, budgets, what is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import bench
from bench.scenarios.incremental import Incremental
from bench.utils.errors import BenchError
from tests.scenarios.dealt import deals
from tests.toy import DIMENSION, dataset


def test_the_last_increment_is_what_is_left() -> None:
    ((condition, episode),) = deals(Incremental(base=4, increment=4), dataset())
    assert [len(s.notes["new_classes"]) for s in episode.sessions] == [4, 4, 2]
    assert condition["sessions"] == 3
    assert sorted(episode.sessions[-1].task.classes) == list(range(10))


def test_statistics_of_far_clusters_forget_nothing_and_a_probe_without_exemplars_forgets_all() -> None:
    """Clusters far apart stay answered; a probe without exemplars knows the classes of its session and no other."""
    recipe = Incremental(base=4, increment=3, exemplars=None)
    frame = bench.run(recipe, ["simplecil"], dataset(images=False), seeds=1).frame
    assert (frame["n_correct"] == frame["n_queries"]).all()
    assert frame.sort_values("session")["n_queries"].tolist() == [20, 35, 50]
    kept = bench.run(replace(recipe, exemplars=20), ["protonet"], dataset(images=False), seeds=1).frame
    none = bench.run(replace(recipe, exemplars=0), ["linear-probe"], dataset(images=False), seeds=1).frame
    assert (kept["n_correct"] == kept["n_queries"]).all()
    last = none[none["session"] == 2].iloc[0]
    right = dict(zip(last["classes"], last["class_correct"], strict=True))
    assert [right[c] for c in last["classes"]] == [0] * 7 + [5] * 3


def test_a_smaller_last_session_is_said_in_the_notes() -> None:
    ((_, episode),) = deals(Incremental(base=4, increment=4), dataset())
    said = [s.notes.get("smaller_session") for s in episode.sessions]
    assert said == [None, None, "2 classes were left for an increment of 4"]
    ((_, even),) = deals(Incremental(base=4, increment=3), dataset())
    assert all("smaller_session" not in s.notes for s in even.sessions)


@pytest.mark.parametrize(
    ("base", "increment", "sizes"),
    [(0, 5, [5, 5]), (0, 3, [3, 3, 3, 1]), (5, 2, [5, 2, 2, 1]), (10, 3, [10]), (4, 3, [4, 3, 3]), (0, 20, [10])],
)
def test_any_base_and_increment_are_dealt_and_the_condition_says_the_smaller_last_one(
    base: int, increment: int, sizes: list[int]
) -> None:
    ((condition, episode),) = deals(Incremental(base=base, increment=increment), dataset())
    assert [len(s.notes["new_classes"]) for s in episode.sessions] == sizes
    assert condition["sessions"] == len(sizes)
    even = len(sizes) == 1 or sizes[-1] == increment
    assert condition.get("last_increment") == (None if even else sizes[-1])


def test_a_base_of_more_classes_than_there_are_is_refused() -> None:
    with pytest.raises(BenchError, match="base=11 but data set toy has 10 classes"):
        list(Incremental(base=11).conditions(dataset()))


def test_a_declared_memory_comes_class_by_class_and_holds_no_query() -> None:
    data = dataset()
    test = data.splits["test"]
    x = test.x.clone()
    x[7] = data.memory.images.x[5]
    data = replace(data, splits={**data.splits, "test": replace(test, x=x)})
    ((_, episode),) = deals(Incremental(increment=2, memory="declared"), data)
    for session in episode.sessions:
        assert set(session.task.memory.images.labels.tolist()) == set(session.notes["new_classes"])
        assert test.ids[7] not in session.queries.ids
        assert session.notes["queries_dropped_as_memory"] == 1


ITEM = DIMENSION * 4 + 8
"""Bytes of a float32 vector and its int64 label."""


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"exemplars": 21}, [20, 16, 20]),
        ({"exemplars_per_class": 2}, [8, 16, 20]),
        ({"budget_bytes": 24 * ITEM - 1}, [20, 16, 20]),
        ({"budget_bytes": ITEM}, [0, 0, 0]),
        ({"exemplars": None}, [24, 48, 60]),
    ],
)
def test_exemplars_fill_a_budget_in_items_by_class_or_in_bytes(limits: dict[str, int], kept: list[int]) -> None:
    """4, 8 and 10 classes of six images: 21 items are 5, 2 and 2 a class; 24 less a byte are 23, so 5, 2 and 2."""
    recipe = Incremental(base=4, increment=4, **limits)
    frame = bench.run(recipe, ["knn"], dataset(images=False), seeds=1).frame.sort_values("session")
    assert frame["exemplars"].tolist() == kept
    if "budget_bytes" in limits:
        told = [json.loads(text) for text in frame["details"]]
        assert [t["carried_bytes"] for t in told] == [ITEM * n for n in kept]
        assert not any(t["over_budget"] for t in told)


def test_under_a_budget_in_bytes_weights_count_and_statistics_that_exceed_it_are_marked() -> None:
    """SLDA's Gram matrix alone is 8 d^2 bytes; iCaRL's exemplars have to make room for its weights."""
    budget = 8 * DIMENSION**2
    recipe = Incremental(base=4, increment=4, budget_bytes=budget)
    methods = ["slda", "simplecil", "icarl:depth=head", "knn"]
    frame = bench.run(recipe, methods, dataset(images=False, per_class=20), seeds=1).frame
    over = {
        method: any(json.loads(text)["over_budget"] for text in part["details"])
        for method, part in frame.groupby("method_name")
    }
    assert over == {"slda": True, "simplecil": False, "icarl": False, "knn": False}
    from bench.reports.records.warnings import record_warnings

    said = record_warnings(frame, frame[frame["status"] == "skipped"])
    assert "carried more than the budget in bytes, so not compared at equal memory: slda" in said


def test_two_budgets_at_once_are_refused() -> None:
    with pytest.raises(BenchError, match="exclude each other"):
        list(Incremental(exemplars_per_class=2, budget_bytes=1000).conditions(dataset()))


def test_who_keeps_fewer_exemplars_saw_the_labels_that_they_were_chosen_from() -> None:
    methods = ["zero-shot", "knn:k=1", "protonet", "slda"]
    frame = bench.run(Incremental(base=0, increment=5, exemplars_per_class=2), methods, dataset(), seeds=1).frame
    seen = frame.sort_values("session").groupby("method")["labels_seen"].agg(list).to_dict()
    assert seen == {"zero-shot": [0, 0], "knn(k=1)": [30, 60], "protonet": [30, 60], "slda": [30, 60]}
