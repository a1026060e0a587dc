"""Herding, exemplar lists and nearest-mean selection against their definitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench.core.registry import METHODS
from bench.core.task import Budget
from bench.functional.classwise import class_means, herd, nearest_to_means, normalise
from bench.learning.exemplars import carry, cut, keep_features
from bench.utils.random import Stream
from tests import toy


def draw(n: int) -> torch.Tensor:
    return normalise(torch.from_numpy(Stream(4).numpy().standard_normal((n, 12))))


def test_every_step_of_herding_brings_the_mean_nearest() -> None:
    x = draw(25).double().numpy()
    chosen: list[int] = []
    for step in range(1, 11):
        gaps = [
            np.linalg.norm(x.mean(0) - (x[chosen].sum(0) + x[i]) / step) if i not in chosen else np.inf
            for i in range(len(x))
        ]
        chosen.append(int(np.argmin(gaps)))
        assert herd(torch.from_numpy(x), step).tolist() == chosen


@pytest.mark.parametrize("count", [2, 7, 20])
def test_classes_side_by_side_are_herded_as_each_alone_and_ties_go_to_the_first(count: int) -> None:
    x = draw(60).view(4, 15, 12).clone()
    x[:, 9] = x[:, 2]
    both = herd(x, count)
    assert both.shape == (4, min(count, 15))
    assert torch.equal(both, torch.stack([herd(own, count) for own in x]))
    for own in both.tolist():
        assert 9 not in own or own.index(2) < own.index(9)


def test_exemplars_of_classes_of_several_sizes_are_those_of_each_class() -> None:
    features = toy.dataset().splits["train"].of_classes((7, 3, 9, 1))
    features = features.take(torch.arange(len(features)) % 5 > 0)
    chosen = keep_features(features, 3)
    for label in sorted(set(features.labels.tolist())):
        own = features.of_classes((label,))
        assert chosen.of_classes((label,)).ids.tolist() == own.ids[herd(normalise(own.x), 3).numpy()].tolist()


def test_herding_takes_each_item_once_and_no_more_than_there_are() -> None:
    assert sorted(herd(draw(5), 9).tolist()) == [0, 1, 2, 3, 4]


def test_a_smaller_quota_cuts_the_tail_of_each_class() -> None:
    features = toy.dataset().splits["train"].of_classes((7, 3))
    six, two = keep_features(features, 6), keep_features(features, 2)
    assert six.take(cut(six.labels, 2)).ids.tolist() == two.ids.tolist()


def test_the_nearest_to_the_mean_of_each_class_are_kept_as_a_loop_keeps_them() -> None:
    draw = np.random.Generator(np.random.Philox(2))
    x, columns = torch.from_numpy(draw.standard_normal((40, 6), dtype=np.float32)), torch.arange(40) % 4
    # A pair lies as far from its mean on one side as on the other.
    x[[1, 5]] = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]])
    columns[columns == 1] = 2
    columns[[1, 5]] = 1
    limits, expected = torch.tensor([3, 1, 0, 40, 2]), []
    for c, limit in enumerate(limits.tolist()):
        rows = (columns == c).nonzero()[:, 0]
        if len(rows):
            own = normalise(x[rows]).double()
            distance = ((own - own.mean(0)) ** 2).sum(1)
            expected += rows[torch.sort(distance, stable=True).indices[:limit]].tolist()
    kept = nearest_to_means(x, columns, 5, limits)
    assert kept.nonzero()[:, 0].tolist() == sorted(expected)
    assert kept[1]
    assert not kept[5]
    assert bool(nearest_to_means(x, columns, 5, torch.full((5,), 40)).all())


def test_icarl_answers_by_the_nearest_mean_of_exemplars() -> None:
    task = toy.task((7, 3, 9), images=False)
    task = type(task)(**{**{f: getattr(task, f) for f in task.__dataclass_fields__}, "budget": Budget(items=9)})
    method = METHODS.get("icarl").cls(epochs=3)
    state = method.build(task, rng=Stream(0))
    assert len(state.exemplars) == 9
    embedded = normalise(state.net.embed(state.exemplars.x))
    means = normalise(class_means(embedded, task.columns(state.exemplars.labels), 3))
    queries = toy.dataset().splits["test"].of_classes((7, 3, 9)).x
    distances = torch.cdist(normalise(state.net.embed(queries)), means)
    assert torch.equal(method.score(state, queries).argmax(1), distances.argmin(1))


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("images", [True, False])
def test_all_that_is_carried_counts_towards_the_budget(images: bool, texts: bool) -> None:
    kept = None
    for seen, new in (((0, 1), (0, 1)), ((0, 1, 5, 6), (5, 6))):
        whole = toy.task(seen, images=images)
        task = dataclasses.replace(
            whole,
            support=whole.support.of_classes(new),
            memory=whole.memory.restrict(new),
            budget=Budget(items=20),
        )
        used, kept = carry(kept, task, stores_items=True, texts=texts)
        assert len(used.support) + len(used.memory) <= 20
        assert set(used.support.labels.tolist()) == set(seen)
        assert (len(used.memory.texts) > 0) == texts
        assert (len(used.memory.images) > 0) == images
