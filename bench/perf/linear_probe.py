"""The linear probe's whole sweep over C beside scikit-learn's, both to a relative 1e-4 of the least objective."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.functional.logistic_regression import Linear, LogisticRegression
from bench.utils.random import Stream

CLASSES = 50
BEST = 0.5
"""Where the eight bisections of the sweep lead."""


def _bisected(low: float, high: float) -> Iterator[float]:
    for _ in range(8):
        middle = (low * high) ** 0.5
        yield middle
        low, high = (middle, high) if middle < BEST else (low, middle)


TOLERANCES = {1e-6: 1e-4, 1e-4: 1e-4, 1e-2: 1e-4, 1.0: 1e-4, 1e2: 1e-5, 1e4: 1e-7, 1e6: 1e-9}
TOLERANCES |= {0.1: 1e-4, 10.0: 1e-5} | dict.fromkeys(_bisected(0.1, 10.0), 1e-4)
"""The sweep: seven powers of 100, both ends of the interval around the best of them, and bisections.

With each C stands the loosest power of ten at which scikit-learn comes within 1e-4 of the minimum.
"""


@cache
def problem() -> tuple[Tensor, Tensor]:
    """Return features, float32 [800, 256], that share a large mean as image features do, and their classes [800]."""
    columns = torch.arange(800) % CLASSES

    def normal(n: int, purpose: str) -> Tensor:
        return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, 256), dtype=np.float32))

    return normalise(3 * normal(1, "mean") + normal(CLASSES, "centres")[columns] + 0.7 * normal(800, "noise")), columns


def objective(fitted: Linear, c: float) -> float:
    """Return C sum CE + |W|^2 / 2, in float64."""
    x, columns = problem()
    log_q = (x.double() @ fitted.weights.double().T + fitted.biases.double()).log_softmax(1)
    loss = -log_q.gather(1, columns.unsqueeze(1)).sum()
    return float(c * loss + fitted.weights.double().square().sum() / 2)


def objectives(fitted: Iterable[Linear]) -> Tensor:
    """Return the logarithm of the objective that each C of the sweep ends at."""
    return torch.tensor([objective(f, c) for c, f in zip(TOLERANCES, fitted, strict=True)], dtype=torch.float64).log()


def path() -> list[Linear]:
    """Return the harness's own fits."""
    regression = LogisticRegression(*problem(), CLASSES)
    return [regression.fit(c) for c in TOLERANCES]


def sklearn(tolerances: Mapping[float, float] = TOLERANCES) -> list[Linear]:
    """Return scikit-learn's fits, by C with the tolerance at which each stops."""
    from sklearn.linear_model import LogisticRegression as SklearnRegression

    x, columns = (part.numpy() for part in problem())
    found = [
        SklearnRegression(C=c, max_iter=2000, tol=tolerance).fit(x.astype(np.float64), columns)
        for c, tolerance in tolerances.items()
    ]
    return [Linear(torch.from_numpy(f.coef_), torch.from_numpy(f.intercept_)) for f in found]
