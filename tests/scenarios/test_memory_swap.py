"""Another memory of the same classes at test time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bench
from bench.core.memory import Items
from bench.scenarios.memory_swap import MemorySwap
from bench.utils.errors import BenchError
from tests.scenarios.dealt import deals, ids
from tests.toy import dataset


def test_swapping_identical_sources_changes_nothing() -> None:
    data = dataset()
    one = data.memory.images.take(np.flatnonzero(data.memory.images.sources == "web-a"))
    twin = Items(one.x, one.labels, np.array([f"twin/{n}" for n in one.ids]), np.full(len(one), "web-b"))
    data = replace(data, memory=data.memory.replace(images=Items.concat([one, twin])))
    frame = bench.run(MemorySwap(seen=0.5), ["knn", "protonet", "mml:epochs=2"], data, seeds=2).frame
    ok = frame[frame["status"] == "ok"]
    assert len(ok) == 4 * 3 * 2
    spread = ok.groupby(["method", "seed"])["n_correct"].agg(["min", "max"])
    assert (spread["min"] == spread["max"]).all()


def test_swap_uses_declared_sources_and_halves_one_into_two_disjoint_ones() -> None:
    declared = deals(MemorySwap(seen=0), dataset())
    for condition, episode in declared:
        task, notes = episode.sessions[0].task, episode.sessions[0].notes
        assert set(task.memory.images.sources.tolist()) == {notes["sources"]["images"][condition["tested"]]}
        assert not notes["sources"]["images"]["simulated"]
    halves = {c["tested"]: e.sessions[0] for c, e in deals(MemorySwap(seen=0), dataset(images=False))}
    assert not ids(halves["A"].task.memory.images) & ids(halves["B"].task.memory.images)
    assert len(halves["A"].task.memory.images) + len(halves["B"].task.memory.images) == 60
    assert halves["A"].notes["sources"]["images"]["simulated"]
    with pytest.raises(BenchError, match="'class 0' has memory items from one source only"):
        deals(MemorySwap(seen=0), dataset(images=False, per_class=1))


def test_the_condition_says_which_sources_are_simulated() -> None:
    swapped = MemorySwap(seen=0, pairs=("AB",))
    assert list(swapped.conditions(dataset())) == [{"trained": "A", "tested": "B"}]
    (condition,) = MemorySwap(seen=0, pairs=("AB",), modality="both").conditions(dataset(images=False))
    assert condition["sources"] == "simulated for images and texts"
    with pytest.raises(BenchError, match="'class 0' has memory items from one source only"):
        list(swapped.conditions(dataset(images=False, per_class=1)))
