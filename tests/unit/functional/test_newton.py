"""Newton's method ends at the minimum, whatever the penalty, and in few products."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.functional import newton
from bench.functional.logistic_regression import LogisticRegression
from bench.functional.softmax_curvature import Curvature
from bench.utils.random import Stream

CLASSES = 20


def problem(n: int = 120, d: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images that a plane tells apart, so that the penalty alone keeps the weights finite."""
    draw, columns = Stream(0).child("newton").numpy(), torch.arange(n) % CLASSES
    centres, noise = draw.standard_normal((CLASSES, d)), draw.standard_normal((n, d))
    return F.normalize(torch.from_numpy(centres)[columns] + 0.7 * torch.from_numpy(noise)).float(), columns


def centred(regression: LogisticRegression, c: float, x: torch.Tensor) -> torch.Tensor:
    scores = regression.fit(c)(x)
    return scores - scores.mean(1, keepdim=True)


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by each product with the Hessian."""
    found: list[int] = []
    plain = Curvature.__call__
    monkeypatch.setattr(Curvature, "__call__", lambda self, v: (found.append(1), plain(self, v))[1])
    return found


@pytest.mark.parametrize("c", [1e-6, 1e-2, 1.0, 1e2, 1e4, 1e6])
def test_the_last_step_that_is_not_looked_at_leads_to_the_minimum(c: float) -> None:
    x, columns = problem()
    found = centred(LogisticRegression(x, columns, CLASSES, tolerance=1e-12), c, x)
    least = centred(LogisticRegression(x, columns, CLASSES, tolerance=1e-16), c, x)
    assert float((found - least).abs().max()) <= 2e-5 * float(least.abs().max())


@pytest.mark.parametrize("c", [1e4, 1e6])
def test_steps_that_are_solved_no_closer_than_they_gain_take_fewer_products(
    c: float, products: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, columns = problem()
    adapted = LogisticRegression(x, columns, CLASSES, tolerance=1e-12)
    adapted.fit(c)
    few = len(products)
    monkeypatch.setattr(newton, "_LOOSE", 1e-2)
    monkeypatch.setattr(newton, "_TIGHT", 1e-2)
    monkeypatch.setattr(newton, "_FEW", newton._STEPS)
    LogisticRegression(x, columns, CLASSES, tolerance=1e-12).fit(c)
    assert few < 0.7 * (len(products) - few)


def test_the_first_step_does_not_leave_the_way_back_to_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    x, columns = problem(CLASSES, 64)

    def iterations() -> int:
        regression = LogisticRegression(x, columns, CLASSES, tolerance=1e-12)
        regression.fit(1e4)
        return regression.iterations

    few = iterations()
    monkeypatch.setattr(newton, "_halved", lambda _, end, there, __: (end, there))
    assert few < iterations() - 5
