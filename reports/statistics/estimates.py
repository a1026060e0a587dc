"""Estimates over seeds: which interval and which test a design gets, and what they speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.reports.forms.intervals import (
    Components,
    Kind,
    apart,
    bounds,
    counted,
    crossed,
    p_value,
    seeds_p,
)
from bench.reports.metrics.influence import Influence, of_answers, of_values

Floats = NDArray[np.float64]

ENOUGH_SEEDS = 10
"""Seeds from which the tail of a p-value is trusted as it is."""

TAIL = 0.005
"""P-values below this are not told apart with fewer seeds; a correction takes those of a t over seeds."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the seeds of a comparison lie to each other.

    Attributes
    ----------
    shared : bool
        Whether all seeds have the same units.
    overlap : float
        The share of their queries that two seeds have in common, where they are not the same.
    over : str
        What intervals and tests speak for, in words.
    """

    shared: bool
    overlap: float
    over: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with its interval and its two-sided p-value against 0.

    Attributes
    ----------
    mean, low, high : float
        Bounds are NaN where no interval is possible.
    p : float
        The level at which the interval reaches 0.
    p_holm_input : float
        What a correction for many comparisons takes: ``p``, and with three to nine seeds where that is below
        :data:`TAIL` the larger of it and the p-value of Student's t over the seeds.
    over : str
        What the interval speaks for.
    from_seeds, from_units, rest : float
        Variance components of a seed's mean: between seeds, of units that seeds share, and the rest.
    n_seeds, n_units : int
    """

    mean: float
    low: float
    high: float
    p: float
    p_holm_input: float
    over: str
    from_seeds: float
    from_units: float
    rest: float
    n_seeds: int
    n_units: int


def components(samples: Sequence[Influence], design: Design) -> Components:
    """Return the components of one influence a seed."""
    values = np.array([sample.value for sample in samples])
    answered = [s for s in samples if s.answers is not None]
    gained, lost = (
        np.mean([float(s.weights @ np.maximum(sign * _answers(s), 0.0)) for s in answered]) if answered else np.nan
        for sign in (1, -1)
    )
    units = np.mean([1 / np.square(s.weights).sum() for s in samples])
    fourth = [np.square(np.square(s.weights).sum()) / np.power(s.weights, 4).sum() for s in samples]
    df = np.mean(fourth) * (1 if design.shared else len(samples)) - 1
    shares = {
        "gained": np.float64(gained),
        "lost": np.float64(lost),
        "units": np.float64(units),
        "df": np.float64(max(df, 1.0)),
    }
    if design.shared:
        return crossed(values, np.stack([s.moves for s in samples]), **shares)  # type: ignore[arg-type]  # numpy scalars are arrays without dimensions
    return apart(values, np.array([np.square(s.moves).sum() for s in samples]), **shares, overlap=design.overlap)  # type: ignore[arg-type]


def _answers(sample: Influence) -> Floats:
    assert sample.answers is not None
    return sample.answers


def stacked(each: Sequence[Components]) -> Components:
    """Return the components of several estimates of one design as arrays with one dimension more."""
    names = ("values", "gained", "lost", "columns", "rest", "units", "df")
    arrays = {name: np.stack([getattr(c, name) for c in each]) for name in names}
    return Components(**arrays, shared=each[0].shared, overlap=each[0].overlap)


def estimates(each: Sequence[Sequence[Influence]], design: Design, kind: Kind) -> list[Estimate]:
    """Return the estimate of each sequence of influences, one influence a seed; all have one design."""
    if not each:
        return []
    c = stacked([components(samples, design) for samples in each])
    if min(len(samples[0].moves) for samples in each) < 2 and c.n_seeds == 1:
        # One unit says nothing of others.
        return [_unknown(samples) for samples in each]
    low, high = bounds(c, kind)
    p = p_value(c, kind)
    mean = c.mean
    return [
        Estimate(
            mean=float(mean[i]),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p[i]),
            p_holm_input=float(q),
            over=design.over,
            from_seeds=float(seeds),
            from_units=float(c.from_units[i]),
            rest=float(c.rest[i]),
            n_seeds=c.n_seeds,
            n_units=min(len(sample.moves) for sample in each[i]),
        )
        for i, (q, seeds) in enumerate(zip(in_families(c, p, kind), _seeds_alone(c), strict=True))
    ]


def in_families(c: Components, p: Floats, kind: Kind) -> Floats:
    """Return the p-values that a correction takes [n]."""
    if not 2 < c.n_seeds < ENOUGH_SEEDS:
        return p
    return np.where(p < TAIL, np.maximum(p, seeds_p(counted(c) if kind == "difference" else c)), p)


def _seeds_alone(c: Components) -> Floats:
    """Return the variance between seeds beyond what their units explain [n]."""
    if c.n_seeds < 2:
        return np.zeros_like(c.mean)
    return np.asarray(np.maximum(c.values.var(-1, ddof=1) - c.rest, 0.0))


def _unknown(samples: Sequence[Influence]) -> Estimate:
    nan = float("nan")
    return Estimate(
        mean=samples[0].value,
        low=nan,
        high=nan,
        p=nan,
        p_holm_input=nan,
        over="nothing",
        from_seeds=nan,
        from_units=nan,
        rest=nan,
        n_seeds=1,
        n_units=len(samples[0].moves),
    )


def estimate(samples: Sequence[Influence], design: Design, kind: Kind) -> Estimate:
    """Return the estimate of one influence a seed."""
    return estimates([samples], design, kind)[0]


def of_differences(values: Sequence[Floats], design: Design) -> Estimate:
    """Return the estimate of the mean of values [u], one array a seed: differences of answers, or anything else."""
    if all(np.isin(v, (-1.0, 0.0, 1.0)).all() for v in values):
        return estimate([of_answers(np.asarray(v, dtype=np.float64)) for v in values], design, "difference")
    return estimate([of_values(np.asarray(v, dtype=np.float64)) for v in values], design, "mean")
