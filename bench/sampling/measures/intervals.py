"""Intervals of measures: resampled queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.core.measure import Measured
from bench.utils.random import Stream

DRAWS = 200
"""Resamples of the queries that an interval is made of."""

Rows = NDArray[np.int64]


def resampled(
    measure: Callable[[Rows, Rows], Mapping[str, float]], n_queries: int, n_strangers: int, rng: Stream
) -> Measured:
    """Return measures with the 2.5 % and 97.5 % quantiles over resamples of queries and of strangers, each apart.

    Percentile bootstrap, Efron, 1979. They speak for these classes, this task and other queries like these.

    Parameters
    ----------
    measure : callable
        Takes positions of queries and of strangers, int [n] each, and returns the measures on them.
    """
    every = np.arange(n_queries), np.arange(n_strangers)
    values = measure(*every)
    draw = rng.child("resampled").numpy()
    drawn = [
        measure(draw.integers(0, max(1, n_queries), n_queries), draw.integers(0, max(1, n_strangers), n_strangers))
        for _ in range(DRAWS if n_queries else 0)
    ]
    found = {}
    for name, value in values.items():
        sample = np.array([one[name] for one in drawn])
        sample = sample[~np.isnan(sample)]
        low, high = np.quantile(sample, [0.025, 0.975]) if len(sample) else (float("nan"),) * 2
        found[name] = (float(value), float(low), float(high))
    return found
