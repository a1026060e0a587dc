"""Hierarchical bootstrap: data sets, then seeds, then queries, all methods on the same draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.reports.utils.random import generator

Floats = NDArray[np.float64]
Values = NDArray[np.float64] | NDArray[np.bool_]

_BLOCK = 1 << 24
"""Query weights held at a time: 64 MiB as float32."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Values of m methods in one group.

    Attributes
    ----------
    name : str
        Names the stream of its draws.
    values : tuple of float or bool arrays [m, q]
        One a seed, e.g. True for a right answer.
    shared : bool
        Whether the seeds have the same queries in the same order.
    """

    name: str
    values: tuple[Values, ...]
    shared: bool


def resampled_means(sample: Sample, resamples: int) -> Floats:
    """Return the mean over seeds and queries of each method in each resample [b, m].

    Seeds are drawn with replacement, queries by Poisson weights (Hanley and MacGibbon, Creating non-parametric
    bootstrap samples using Poisson frequencies, 2006), divided by their sum. Queries that seeds share are drawn once
    for all seeds, not once a seed: drawing them apart would shrink their part of the variance by the number of seeds
    (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007, arXiv:0712.1111). Where each seed has queries of
    its own, its mean already holds their chance and they are not drawn again (Davison and Hinkley, Bootstrap Methods,
    1997, section 3.8); with one seed they are all there is to draw.
    """
    n_methods, n_seeds = len(sample.values[0]), len(sample.values)
    # [b, s]: how often each seed is drawn. A mean of s draws has (s - 1) / s of the variance it should have; the
    # deviations are stretched to make up for it (Davison and Hinkley, Bootstrap Methods, 1997, section 2.5).
    counts = generator("bootstrap", "seeds", sample.name).multinomial(n_seeds, [1 / n_seeds] * n_seeds, resamples)
    stretch = np.sqrt(n_seeds / (n_seeds - 1)) if n_seeds > 1 else 1.0
    weights = 1 / n_seeds + (counts / n_seeds - 1 / n_seeds) * stretch
    if sample.shared or n_seeds == 1:
        stacked: Values = np.concatenate(sample.values)  # type: ignore[assignment]  # all of one type
        means = _query_means(stacked, resamples, generator("bootstrap", "queries", sample.name))
        by_seed = means.reshape(resamples, n_seeds, n_methods)
    else:
        return np.asarray(weights @ np.stack([v.mean(1, dtype=np.float64) for v in sample.values]))
    return np.asarray(np.einsum("bs,bsm->bm", weights, by_seed))


def _query_means(values: Values, resamples: int, rng: np.random.Generator) -> Floats:
    """Return weighted means of rows [r, q] under ``resamples`` Poisson weightings [b, r]."""
    if values.dtype == np.bool_:
        # Queries with the same answers are alike, and the sum of k Poisson(1) draws is one Poisson(k) draw.
        packed = np.ascontiguousarray(np.packbits(values.T.astype(np.bool_), axis=1))
        keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
        _, first, counts = np.unique(keys, return_index=True, return_counts=True)
        if 8 * len(first) < values.shape[1]:
            drawn = rng.poisson(counts, (resamples, len(first)))
            drawn[drawn.sum(1) == 0] = counts
            return np.asarray(drawn @ values.T[first].astype(np.float64) / drawn.sum(1, keepdims=True))
    n = values.shape[1]
    columns = np.ascontiguousarray(values.T, dtype=np.float32)
    out = np.empty((resamples, values.shape[0]))
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = _POISSON[rng.integers(0, 1 << 16, (size, n), dtype=np.uint16)]
        sums = weights.sum(1, dtype=np.float64)
        # No query drawn at all is possible with a handful of queries only; the plain mean stands in.
        weights[sums == 0] = 1
        out[start : start + size] = (weights @ columns) / np.where(sums == 0, n, sums)[:, None]
    return out


_EVEN = (np.arange(1 << 16) + 0.5) / (1 << 16)

_POISSON = np.searchsorted(special.pdtr(np.arange(20), 1), _EVEN).astype(np.float32)
"""Poisson(1) quantiles of 65,536 equally likely values: a draw is one look-up."""


def over_datasets(samples: Sequence[Sample], resamples: int = 10_000) -> Floats:
    """Return the mean over data sets of each method in each resample [b, m].

    Each of the d places is filled with a data set drawn at random, and with seeds and queries drawn anew.
    """
    inner = np.stack([resampled_means(sample, resamples) for sample in samples])
    d = len(samples)
    chosen = generator("bootstrap", "datasets", *(s.name for s in samples)).integers(0, d, (resamples, d))
    total = np.zeros(inner.shape[1:])
    for place in range(d):
        # The same data set in two places must not bring the same seeds and queries: each place reads other rows.
        rows = (np.arange(resamples) + place * (resamples // d)) % resamples
        total += inner[chosen[:, place], rows]
    return total / d


def percentile(resampled: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the lower and upper bounds [m] of resampled statistics [b, m]."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
