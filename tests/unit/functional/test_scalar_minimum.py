"""The least value of a function of one number, beside scipy's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bench.functional.scalar_minimum import bounded_minimum

SHAPES: dict[str, Callable[[float, float], float]] = {
    "parabola": lambda x, c: (x - c) ** 2,
    "waves": lambda x, c: math.sin(3 * c * x) + 0.3 * x,
    "kink": lambda x, c: abs(x - c),
    "slope": lambda x, c: c * x,
    "steps": lambda x, c: round(x * c, 1) ** 2,
    "cliff": lambda x, c: math.inf if x > c else -x,
    "flat": lambda x, c: 0.0,
    "likelihood": lambda x, c: math.exp(c * x) - x,
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_steps_are_those_of_scipy_to_the_last_bit(name: str) -> None:
    rng = np.random.default_rng(0)
    for c, low, width in zip(rng.normal(size=200), rng.normal(0, 3, 200), rng.exponential(20, 200), strict=True):
        bounds = (float(low), float(low + width))

        def shape(x: float, c: float = float(c)) -> float:
            return SHAPES[name](x, c)

        assert bounded_minimum(shape, *bounds) == minimize_scalar(shape, bounds=bounds, method="bounded").x


def test_it_ends_after_so_many_evaluations() -> None:
    asked: list[float] = []
    bounded_minimum(lambda x: (asked.append(x), -x)[1], 0, 1, tolerance=0, most=7)
    assert len(asked) == 7
