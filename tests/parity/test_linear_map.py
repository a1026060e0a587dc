"""The map between encoders: its error without each pair is that of fitting without it, and its strength the best so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.functional.linear_map import PENALTIES, fit_map
from bench.utils.random import Stream


def pairs(n: int, a: int = 6, b: int = 4, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    draw = Stream(3).child("pairs", n).torch()
    x = normalise(torch.randn(n, a, generator=draw) + 0.5)
    mixed = x @ torch.randn(a, b, generator=draw) + noise * torch.randn(n, b, generator=draw)
    return x, normalise(mixed)


def refitted(x: Tensor, y: Tensor, penalty: float) -> tuple[float, float]:
    """Return the squared error of each pair by a ridge regression of the others, and by their mean, added up."""
    found = [0.0, 0.0]
    for one in range(len(x)):
        rest = torch.arange(len(x)) != one
        a, b = x[rest].double().mean(0), y[rest].double().mean(0)
        wide, target = x[rest].double() - a, y[rest].double() - b
        weight = torch.linalg.solve(
            wide.T @ wide + penalty * torch.eye(x.shape[1], dtype=torch.float64), wide.T @ target
        )
        found[0] += float((y[one].double() - (x[one].double() - a) @ weight - b).square().sum())
        found[1] += float((y[one].double() - b).square().sum())
    return found[0], found[1]


@pytest.mark.parametrize("n", [3, 5, 30])
def test_the_error_without_a_pair_is_that_of_a_fit_without_it(n: int) -> None:
    x, y = pairs(n)
    found = fit_map(x, y)
    left, mean = refitted(x, y, found.penalty)
    assert found.unexplained == pytest.approx(left / mean, rel=1e-4)
    centred = x.double() - x.double().mean(0)
    scale = float(torch.linalg.svdvals(centred).square().mean())
    errors = [refitted(x, y, share * scale)[0] for share in PENALTIES]
    assert left == pytest.approx(min(errors), rel=1e-4)


def test_a_linear_relation_is_found_and_noise_is_not() -> None:
    draw = Stream(0).torch()
    x = torch.randn(200, 6, generator=draw)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=draw)).Q
    x = normalise(x)
    exact = fit_map(x, x @ turn)
    assert exact.unexplained < 1e-6
    torch.testing.assert_close(exact(x), x @ turn, atol=1e-3, rtol=0)
    unrelated = fit_map(x, normalise(torch.randn(200, 6, generator=draw)))
    assert unrelated.unexplained > 0.95
    assert unrelated.penalty > exact.penalty


def test_two_pairs_and_equal_pairs_give_a_map() -> None:
    x, y = pairs(2)
    assert torch.isfinite(fit_map(x, y)(x)).all()
    same = fit_map(x[:1].expand(4, -1), y[:1].expand(4, -1))
    torch.testing.assert_close(same(x[:1]), normalise(y[:1]), atol=1e-6, rtol=0)
