"""More and more memory items a class."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch

import bench
from bench.core.memory import Items
from bench.scenarios.memory_size import MemorySize
from tests.scenarios.dealt import deals, memory_ids
from tests.toy import centres, dataset


def test_memory_sizes_are_nested_and_all_is_the_whole_memory() -> None:
    data = dataset()
    dealt = [episode.sessions[0].task for _, episode in deals(MemorySize(sizes=(1, 2, 5, None), seen=0), data)]
    assert [len(t.memory.images) for t in dealt] == [10, 20, 50, 80]
    assert [len(t.memory.texts) for t in dealt] == [10, 20, 30, 30]
    for small, large in itertools.pairwise(dealt):
        assert memory_ids(small.memory) <= memory_ids(large.memory)
    assert dealt[-1].memory.fingerprint == data.memory.fingerprint


def test_one_right_item_a_class_answers_and_items_that_come_later_change_it_as_they_must() -> None:
    """Each class has one item at its centre and three at the next class's: k-NN turns with the majority."""
    data = dataset(texts=False)
    centre = torch.from_numpy(centres(10)).float()
    labels = torch.arange(10).repeat(4)
    places = torch.cat([torch.arange(10), *[(torch.arange(10) + 1) % 10] * 3])
    names = np.array([f"item {n:02}" for n in range(40)])
    images = Items(centre[places], labels, names, np.full(40, "web"))
    data = replace(data, memory=data.memory.replace(images=images))
    frame = bench.run(MemorySize(sizes=(None,), seen=0), ["knn:k=4", "knn:k=1"], data, seeds=1).frame
    # The nearest four of a query of class c are its own item and three of the class before.
    assert float(frame.loc[frame["method"] == "knn(k=4)", "n_correct"].iloc[0]) == 0
    first = replace(data, memory=data.memory.replace(images=images.take(list(range(10)))))
    frame = bench.run(MemorySize(sizes=(1, None), seen=0), ["knn:k=1", "protonet"], first, seeds=1).frame
    assert (frame["n_correct"] == frame["n_queries"]).all()
