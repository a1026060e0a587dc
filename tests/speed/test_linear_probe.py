"""The linear probe's sweep over C beside scikit-learn's, both at the minimum to a relative 1e-4 of the objective."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from bench.functional.logistic_regression import LogisticRegression
from bench.perf.linear_probe import CLASSES, TOLERANCES, objective, path, problem, sklearn

GROUP = f"linear-probe, sweep of {len(TOLERANCES)} C to 1e-4 of the minimum, 800 x 256, 50 classes"


@cache
def least(c: float) -> float:
    """Return the minimum of the objective, from a fit in float64."""
    return objective(LogisticRegression(*problem(), CLASSES, tolerance=1e-10).fit(c), c)


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("engine", ["path", "sklearn"])
def test_sweep_at_the_same_objective(benchmark: Callable[..., Any], engine: str) -> None:
    run = {"path": path, "sklearn": sklearn}[engine]
    fitted = benchmark.pedantic(run, rounds=3, iterations=1, warmup_rounds=1)
    excess = {c: objective(f, c) / least(c) - 1 for c, f in zip(TOLERANCES, fitted, strict=True)}
    assert max(excess.values()) <= 1e-4, excess


@pytest.mark.benchmark(group=GROUP)
def test_sweep_sklearn_with_its_own_tolerance(benchmark: Callable[..., Any]) -> None:
    """Its default stops early: above C = 1 it is several times the minimum, so its time buys less."""
    fitted = benchmark.pedantic(lambda: sklearn(dict.fromkeys(TOLERANCES, 1e-4)), rounds=3, iterations=1)
    strongest = fitted[list(TOLERANCES).index(1e6)]
    assert objective(strongest, 1e6) > 2 * least(1e6)
