"""Intervals and p-values of means over seeds and queries; which is used when is in ``docs/statistics.md``.

An estimate is a mean over S seeds of a weighted mean over units: queries, clusters of them, or few-shot episodes. How
far a unit moves it, first order, is its *move*: w (y - mean of its stratum), so that a unit counts for what is not
known of it and not for its weight. All functions take arrays with any leading dimensions, so that simulations run the
same code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.reports.forms.limits import (
    mcnemar,
    normal_quantile,
    paired_limits,
    share_limits,
    student_quantile,
)

Floats = NDArray[np.float64]

LEVEL = 0.95

Kind = Literal["share", "difference", "mean"]
"""What is estimated: a share of right answers, a difference of two such shares, or any mean."""

_HALVINGS = 50

_SEVERAL = 5
"""Seeds from which their spread is known well enough to be added to that of the units."""

_CUT_OFF = 0.04
"""Standard deviation of seeds that few of them cannot deny where a border cuts half of it off."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Components:
    """What the error of an estimate is made of; every attribute may have leading dimensions.

    Attributes
    ----------
    values : float array [..., s]
        The estimate of each seed.
    gained, lost : float array [...]
        Weighted shares of the answers that count for and against, mean over seeds: of a share the right answers (and
        0), of a difference what only the one and only the other method answers rightly.
    columns : float array [...]
        Sum of the squares of the units' moves, each a mean over seeds; 0 where seeds have units of their own.
    rest : float array [...]
        Variance of one seed's value that units bring, beyond what they bring in all seeds alike.
    units : float array [...]
        Effective number of units of a seed, 1 / sum of squared weights.
    df : float array [...]
        Degrees of freedom of what units bring: their effective number by (sum of squared weights)^2 / sum of fourth
        powers, less one; where weights are equal, their number less one.
    shared : bool
        Whether all seeds have the same units.
    overlap : float
        Where they are not the same, the share that two seeds have in common.
    hidden : float array [...] or 0
        Variance of a seed's value that is not seen, since values are counts (:func:`counted`).
    """

    values: Floats
    gained: Floats
    lost: Floats
    columns: Floats
    rest: Floats
    units: Floats
    df: Floats
    shared: bool
    overlap: float = 0.0
    hidden: Floats | float = 0.0

    @property
    def n_seeds(self) -> int:
        """Number of seeds, s."""
        return int(self.values.shape[-1])

    @property
    def mean(self) -> Floats:
        """Mean over seeds [...]."""
        return np.asarray(self.values.mean(-1))

    @property
    def from_units(self) -> Floats:
        """Variance of the mean that units bring to all seeds alike [...].

        Moves averaged over seeds still hold 1 / s of the rest, which is subtracted.
        """
        if self.n_seeds == 1:
            return self.columns if self.shared else self.rest
        if not self.shared:
            return np.zeros_like(self.rest)
        return np.maximum(self.columns - self.rest / self.n_seeds, 0.0)

    @property
    def from_seeds(self) -> Floats:
        """Variance of the mean that the spread of seeds brings, with s - 1 degrees of freedom [...].

        s^2 / S, and for seeds whose units overlap s^2 (1 / S + overlap / (1 - overlap)): Nadeau and Bengio, Inference
        for the generalization error, Machine Learning 2003, with the share of units in common as the correlation.
        """
        factor = 1 / self.n_seeds + (0.0 if self.shared else self.overlap / (1 - self.overlap))
        return np.asarray((self.values.var(-1, ddof=1) + self.hidden) * factor)

    @property
    def least(self) -> Floats:
        """Variance of the mean that would be there if seeds brought nothing of their own [...]."""
        alike = 0.0 if self.shared else (self.n_seeds - 1) * self.overlap
        return self.rest * (1 + alike) / self.n_seeds


def crossed(
    values: Floats, moves: Floats, *, gained: Floats, lost: Floats, units: Floats, df: Floats | None = None
) -> Components:
    """Return the components of seeds that share their units.

    Parameters
    ----------
    values : float array [..., s]
    moves : float array [..., s, u]
        Of the same units in the same order.
    gained, lost, units : float arrays [...]
        As in :class:`Components`.
    df : float array [...], optional
        The same; without it, units have equal weights.
    """
    s, u = moves.shape[-2:]
    mean = moves.mean(-2)
    rest = np.square(moves - mean[..., None, :]).sum((-2, -1)) / max(s - 1, 1)
    return Components(
        values=values,
        gained=gained,
        lost=lost,
        columns=np.asarray(np.square(mean).sum(-1)),
        rest=np.asarray(rest),
        units=units,
        df=np.full(np.shape(units), max(u - 1.0, 1.0)) if df is None else df,
        shared=True,
    )


def apart(
    values: Floats,
    variances: Floats,
    *,
    gained: Floats,
    lost: Floats,
    units: Floats,
    df: Floats | None = None,
    overlap: float = 0.0,
) -> Components:
    """Return the components of seeds with units of their own, some of which may be in common.

    Parameters
    ----------
    values, variances : float arrays [..., s]
        Of each seed its estimate and the sum of the squares of its units' moves.
    gained, lost, units : float arrays [...]
        As in :class:`Components`; ``units`` is the mean over seeds.
    df : float array [...], optional
        Of all seeds together; without it, units have equal weights.
    overlap : float
    """
    return Components(
        values=values,
        gained=gained,
        lost=lost,
        columns=np.zeros_like(gained),
        rest=np.asarray(variances.mean(-1)),
        units=units,
        df=np.maximum(np.asarray(units) * values.shape[-1] - 1, 1.0) if df is None else df,
        shared=False,
        overlap=overlap,
    )


def counted(c: Components) -> Components:
    """Return the components of differences of answers, whose values step by 1 / n of a query.

    What lies within a step is not seen: two seeds with the same number of answers look as if seeds did not differ,
    and their t has no limit. A value has the variance of rounding, 1 / (12 n^2) (Sheppard, On the calculation of the
    most probable values of frequency-constants, Proceedings of the London Mathematical Society 1898), unless no query
    is answered differently at all.
    """
    return replace(c, hidden=np.where(c.gained + c.lost > 0, 1 / (12 * np.square(c.units)), 0.0))


@dataclass(frozen=True, eq=False)
class _Queries:
    """What the units say of a share or a difference: its variance if n units were drawn plainly is ``plain`` / n.

    ``rare`` is how many answers of the rarer kind were seen in all seeds.
    """

    variance: Floats
    plain: Floats
    n: Floats
    rare: Floats


def _queries(c: Components, kind: Kind) -> _Queries:
    """Return the units' part with the answers that may have been missed.

    What is rare can be absent from a sample: one answer of the other kind, given by all seeds, is thought added. It
    counts 1 / (1 + W), W being how many answers of the rarer kind were seen in all seeds: with none the limits are
    those of 0 of n, with many nothing is added.

    Where few units have much of the weight (classes of two queries), their variance is itself hardly known: it is
    taken (t_df / t_{n-1})^2 times as large, t being Student's at 95 % (Korn and Graubard 1998); where weights are equal
    that is 1.
    """
    s = c.n_seeds
    n = c.units if c.shared else c.units * s / (1 + (s - 1) * c.overlap)
    share_of_rare = c.gained + c.lost if kind == "difference" else np.minimum(c.gained, 1 - c.gained)
    rare = n * share_of_rare * (s if c.shared else 1)
    added = 1 / (1 + rare)
    scale = n / (n + 2 * added)
    if kind == "difference":
        seen = c.gained + c.lost - (c.gained - c.lost) ** 2
        plain = (c.gained + c.lost) * scale + 1 - scale - ((c.gained - c.lost) * scale) ** 2
    else:
        seen = c.gained * (1 - c.gained)
        share = c.gained * scale + added / (n + 2 * added)
        plain = share * (1 - share)
    variance = (c.from_units if c.shared or s == 1 else c.least) + np.maximum(plain - seen, 0.0) / n
    every = c.units if c.shared else c.units * s
    known = student_quantile(1 - LEVEL, c.df) / student_quantile(1 - LEVEL, np.maximum(every - 1, c.df))
    variance = variance * np.square(known)
    plain = np.maximum(plain, 1e-12)
    return _Queries(variance, plain, plain / np.maximum(variance, 1e-300), rare)


def t_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's interval of a mean, with n - 1 degrees of freedom; NaN for fewer than two values.

    mean +- t_{n-1} s / sqrt(n); Student, The probable error of a mean, Biometrika 1908.
    """
    low, high = t_intervals(values, level)
    return float(low), float(high)


def t_intervals(values: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the limits of :func:`t_interval` for each row of values [..., n]: two arrays [...]."""
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], np.nan), np.full(x.shape[:-1], np.nan)
    half = student_quantile(1 - level, n - 1) * x.std(axis=-1, ddof=1) / np.sqrt(n)
    mean = x.mean(axis=-1)
    return np.asarray(mean - half), np.asarray(mean + half)


def bounds(c: Components, kind: Kind, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the limits of the mean over seeds and units [...].

    What units bring has exact limits at their effective number, what seeds bring Student's t with s - 1 degrees of
    freedom; the two distances are squared and added (Zou and Donner, Construction of confidence limits about effect
    measures, Statistics in Medicine 2008). Seeds never bring less than what is known from their answers:
    t^2 V_seeds >= z^2 rest / s. Neither part is of width 0.

    A share has more room on one side, which a sum of squares does not know: its limits are the exact ones at the
    effective number n of both parts together, z^2 p (1 - p) / n = z^2 V_units + t^2 V_seeds. With fewer than five
    seeds, whose t is large, a side is no longer than by Student's t for both parts, or by the squares added; but what
    one side does not use of the width of that t, for instance beyond the border, the other may.

    What a border cuts off from the spread of seeds is in :func:`_at_border`.
    """
    alpha = 1 - level
    c = counted(c) if kind == "difference" else c
    mean = c.mean
    if kind == "mean":
        half = np.sqrt(width_squared(c, c.from_units, alpha))
        return mean - half, mean + half
    q = _queries(c, kind)
    if kind == "difference":
        centre = c.gained - c.lost
        low, high = paired_limits(c.gained * q.n, c.lost * q.n, q.n, alpha)
    else:
        centre = c.gained
        low, high = share_limits(c.gained * q.n, q.n, alpha)
    down, up = units_down, units_up = centre - low, high - centre
    if c.n_seeds == 1:
        return mean - down, mean + up
    z2 = normal_quantile(alpha) ** 2
    seeds = student_quantile(alpha, c.n_seeds - 1) ** 2 * c.from_seeds
    if c.shared:
        seeds = np.maximum(seeds, z2 * c.least)
        down, up = (np.sqrt(side**2 + seeds) for side in (down, up))
    else:
        # The spread of the seeds holds what their own units bring; the larger of the two counts.
        down, up = (np.maximum(side, np.sqrt(seeds)) for side in (down, up))
    if kind == "difference":
        return mean - down, mean + up
    k2 = z2 * q.variance + seeds if c.shared else np.maximum(z2 * q.variance, seeds)
    n = z2 * q.plain / k2
    low, high = share_limits(centre * n, n, alpha, np.clip(0.5 * (1 - n / q.n), 0.0, 0.5))
    low_side, high_side = centre - low, high - centre
    if c.n_seeds < _SEVERAL:
        student = student_quantile(alpha, c.n_seeds - 1) * np.sqrt(c.from_units + c.from_seeds)
        capped_low = np.minimum(low_side, np.maximum(down, student))
        capped_high = np.minimum(high_side, np.maximum(up, student))
        left_low = np.minimum(low_side, 2 * student - np.minimum(capped_high, 1 - mean))
        left_high = np.minimum(high_side, 2 * student - np.minimum(capped_low, mean))
        low_side, high_side = np.maximum(capped_low, left_low), np.maximum(capped_high, left_high)
    low_side, high_side = (
        _at_border(c, q, side, units, room, alpha)
        for side, units, room in ((low_side, units_down, 1 - mean), (high_side, units_up, mean))
    )
    return mean - low_side, mean + high_side


def _at_border(c: Components, q: _Queries, side: Floats, units: Floats, room: Floats, alpha: float) -> Floats:
    """Return a side of a share's interval with what the border opposite to it hides, ``room`` being how far that is.

    A border cuts the upper half of the spread of seeds off, and S seeds all lie there with a chance of about 2^-S,
    alike as if seeds did not differ. Where that is more than is left outside on a side (up to five seeds at 95 %), the
    side is no less than that of the units and what the border takes on average from seeds with a standard deviation of
    four points (:func:`_taken`), squared and added. Of it count 1 - 2^-W, with W answers of the rarer kind: without
    any, seeds do not say that answers can be lost. With more seeds only half of their degrees of freedom, less one,
    say how far seeds lie apart beyond their answers; the t of so few counts as far as the border takes.
    """
    if 2.0**-c.n_seeds > alpha / 2:
        return np.maximum(side, np.hypot(units, (1 - 0.5**q.rare) * _taken(room)))
    t, t_half = (student_quantile(alpha, df) for df in (c.n_seeds - 1, (c.n_seeds - 3) / 2))
    beyond = np.maximum(c.from_seeds - c.least, 0.0) * _taken(room) / _taken(np.zeros(()))
    return np.sqrt(side**2 + (t_half**2 - t**2) * beyond)


def _taken(room: Floats) -> Floats:
    """Return what is lost on average of normal values with this room to a border: E max(x - room, 0).

    That is s phi(room / s) - room Phi(-room / s), s being their standard deviation.
    """
    z = room / _CUT_OFF
    return np.asarray(_CUT_OFF * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) - room * special.ndtr(-z))


def width_squared(c: Components, units: Floats, alpha: float | Floats) -> Floats:
    """Return the square of the half-width at a level, units and seeds together."""
    own = student_quantile(alpha, c.df) ** 2 * units
    if c.n_seeds == 1:
        return own
    z2 = normal_quantile(alpha) ** 2
    seeds = student_quantile(alpha, c.n_seeds - 1) ** 2 * c.from_seeds
    return np.asarray(own + np.maximum(seeds, z2 * c.least))


def p_value(c: Components, kind: Kind) -> Floats:
    """Return the two-sided p-value of the mean being 0 [...]: the level at which the limits reach it.

    Of a difference of shares, what units bring is McNemar's exact test at their effective number: it stands for the
    variance d^2 / z^2 with the z of its p-value. With one seed the p-value is McNemar's.
    """
    d = c.mean
    if kind == "difference":
        c = counted(c)
        q = _queries(c, kind)
        exact = mcnemar(c.gained * q.n, c.lost * q.n)
        if c.n_seeds == 1:
            return np.where(d == 0, 1.0, exact)
        z = normal_quantile(np.clip(exact, 1e-300, 1.0))
        units = np.where(z > 1e-6, d * d / np.maximum(z, 1e-6) ** 2, np.inf)
        if not c.shared:
            # The rest is in the spread of seeds already: the larger of the two decides.
            return np.where(d == 0, 1.0, np.maximum(exact, _level_of(c, np.zeros_like(d), d)))
        return np.where(d == 0, 1.0, _level_of(c, units, d))
    return np.where(d == 0, 1.0, _level_of(c, c.from_units, d))


def _level_of(c: Components, units: Floats, d: Floats) -> Floats:
    """Return the level at which the half-width is |d|, by halving on a logarithmic scale."""
    least, most = np.full(np.shape(d), -300.0), np.zeros(np.shape(d))
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        wide = width_squared(c, units, np.exp(middle)) > d * d
        least, most = np.where(wide, middle, least), np.where(wide, most, middle)
    return np.exp(most)


def seeds_p(c: Components) -> Floats:
    """Return the p-value of Student's t over the seeds' values, s - 1 degrees of freedom [...]; NaN for one seed."""
    if c.n_seeds < 2:
        return np.full(np.shape(c.mean), np.nan)
    error = np.sqrt(c.from_seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(c.mean) / error
    return np.where(c.mean == 0, 1.0, 2 * special.stdtr(c.n_seeds - 1, -t))
