"""Sets of classes hold the right one as often as they promise, and the curves of abstention are what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.functional.conformal import ConformalSets
from bench.reports.metrics.selective import area_under_risk_coverage, reliability, risk_coverage
from bench.utils.random import Stream


def probabilities(n: int, *, votes: int | None, seed: int) -> tuple[Tensor, Tensor]:
    """Return probabilities of six classes and right classes drawn by them; the softmax of so many votes, if given."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(6, 0.6), n)
    right = np.array([rng.choice(6, p=row) for row in p])
    if votes is not None:
        p = np.array([np.exp(rng.multinomial(votes, row)) for row in p])
        p /= p.sum(1, keepdims=True)
    return torch.from_numpy(p), torch.from_numpy(right)


@pytest.mark.parametrize("votes", [None, 5, 1])
def test_sets_cover_what_they_promise_even_of_votes_that_are_all_alike(votes: int | None) -> None:
    held, asked, covered = 99, 200, []
    for seed in range(60):
        p, right = probabilities(held + asked, votes=votes, seed=seed)
        own = p.gather(1, right.unsqueeze(1)).squeeze(1)
        rule = ConformalSets.of(own[:held], Stream(seed))
        assert rule is not None
        sizes = rule.sizes(p[held:], rule.lots(asked, Stream(seed).child("queries")))
        # Of equal classes all are in the set or none.
        not_below = (p[held:] >= own[held:].unsqueeze(1)).sum(1)
        covered.append(float((not_below <= sizes).double().mean()))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.012)


def test_the_threshold_is_the_order_statistic_of_the_formula() -> None:
    own = torch.linspace(0.01, 0.99, 49, dtype=torch.float64)[torch.from_numpy(Stream(1).permutation(49))]
    rule = ConformalSets.of(own, Stream(0))
    assert rule is not None
    # floor(50 x 0.1) = 5th smallest, but for what lots add.
    assert rule.threshold == pytest.approx(float(own.sort().values[4]), abs=1.1e-5)
    p = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.97, 0.02, 0.01, 0.0]])
    assert rule.sizes(p, torch.zeros(2)).tolist() == [int((row >= rule.threshold).sum()) for row in p.double().numpy()]
    assert ConformalSets(0.0).sizes(p, torch.zeros(2)).tolist() == [3, 3]
    assert ConformalSets(1.5).sizes(p, torch.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize(("n", "there"), [(0, False), (8, False), (9, True)])
def test_fewer_than_nine_images_give_no_sets(n: int, there: bool) -> None:
    assert (ConformalSets.of(torch.full((n,), 0.5), Stream(0)) is not None) is there


def test_risk_is_the_mean_over_all_orders_of_equal_confidences() -> None:
    correct = np.array([True, False, True, False, True])
    confidences = np.array([0.9, 0.6, 0.6, 0.6, 0.2])
    curves = []
    for order in itertools.permutations([1, 2, 3]):
        wrong = ~correct[[0, *order, 4]]
        curves.append(np.cumsum(wrong) / np.arange(1, 6))
    np.testing.assert_allclose(risk_coverage(correct, confidences), np.mean(curves, axis=0))
    assert area_under_risk_coverage(correct, confidences) == pytest.approx(np.mean(curves))


def test_reliability_is_the_mean_of_each_bin() -> None:
    correct = np.array([True, False, True, True])
    confidences = np.array([0.05, 0.06, 1.0, 0.97])
    confidence, accuracy, counts = reliability(correct, confidences)
    assert counts.tolist() == [2, *[0] * 13, 2]
    np.testing.assert_allclose(confidence[[0, 14]], [0.055, 0.985])
    np.testing.assert_allclose(accuracy[[0, 14]], [0.5, 1.0])
    assert np.isnan(accuracy[1:14]).all()
