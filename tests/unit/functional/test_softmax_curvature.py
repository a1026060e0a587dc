"""The Hessian of a softmax regression against autograd's, and Newton's method against L-BFGS."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.cost.meter import Repeats
from bench.functional import logistic_regression
from bench.functional.logistic_regression import LogisticRegression
from bench.functional.principal_axes import PrincipalRows
from bench.functional.softmax_curvature import Curvature
from bench.utils.random import Stream

N, R, C = 30, 4, 3


def drawn(purpose: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal(shape))


def objective(theta: torch.Tensor, z: torch.Tensor, columns: torch.Tensor, counts: torch.Tensor | None) -> torch.Tensor:
    losses = F.cross_entropy(z @ theta[:-1] + theta[-1], columns, reduction="none")
    return (losses if counts is None else losses * counts.squeeze(1)).mean() + 0.05 * theta[:-1].square().sum()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_it_multiplies_and_solves_with_the_hessian(counted: bool, size: float) -> None:
    z, theta, columns = drawn("z", N, R), size * drawn("theta", R + 1, C), torch.arange(N) % C
    counts = drawn("counts", N, 1).abs() if counted else None
    flat = torch.func.hessian(lambda t: objective(t.view(R + 1, C), z, columns, counts))(theta.flatten())
    hessian = flat.view((R + 1) * C, (R + 1) * C)
    curvature = Curvature(PrincipalRows.held(z), theta, columns, 0.1, counts)
    direction = drawn("direction", R + 1, C)
    torch.testing.assert_close(curvature(direction).flatten(), hessian @ direction.flatten(), rtol=1e-9, atol=1e-12)
    # A slope that the Hessian reaches: adding one number to all biases changes nothing.
    slope = (hessian @ drawn("solution", (R + 1) * C)).view(R + 1, C)
    step, left = curvature.solve(slope, 1e-8, 200, Repeats())
    assert left <= 1e-8
    torch.testing.assert_close(hessian @ step.flatten(), slope.flatten(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("c", [1e-8, 1e-2, 1.0, 1e4])
def test_newton_ends_where_lbfgs_does(c: float, weighed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = torch.arange(60) % 5
    x = (F.one_hot(columns, 5).double() @ drawn("centres", 5, 12) + drawn("images", 60, 12)).float()
    weights = torch.linspace(0.5, 2, 60) if weighed else None

    def fitted() -> torch.Tensor:
        regression = LogisticRegression(x, columns, 5, weights=weights, tolerance=1e-12)
        scores = regression.fit(c)(x)
        # One number for all classes changes no answer.
        return scores - scores.mean(1, keepdim=True)

    by_newton = fitted()
    monkeypatch.setattr(logistic_regression, "_CURVED", 0)
    by_lbfgs = fitted()
    torch.testing.assert_close(by_newton, by_lbfgs, rtol=1e-4, atol=float(2e-5 * by_lbfgs.abs().max()))
