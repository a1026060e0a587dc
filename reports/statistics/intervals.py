"""Confidence intervals that hold with few seeds; which is used when is in ``docs/statistics.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Variance components of values y[seed, query]: between seeds, between queries, and what is left.

    ``queries`` is 0 where each seed has queries of its own: then ``seeds`` holds the variance of a seed's mean.
    """

    seeds: float
    queries: float
    rest: float


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval and two-sided p-value against 0.

    Attributes
    ----------
    mean, low, high, error : float
        ``error`` is the standard error; bounds are NaN where no interval is possible.
    df : float
        Degrees of freedom of Student's t.
    over : str
        What the interval speaks for: ``seeds and queries``, ``seeds``, ``queries``, ``episodes``, or ``nothing``.
    """

    mean: float
    low: float
    high: float
    error: float
    df: float
    over: str
    spread: Spread
    n_seeds: int
    n_queries: int

    @property
    def p(self) -> float:
        """Two-sided p-value of the mean being 0."""
        if np.isnan(self.error):
            return float("nan")
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * special.stdtr(self.df, -abs(self.mean) / self.error))


def t_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's interval of a mean, with n - 1 degrees of freedom; NaN for fewer than two values.

    mean +- t_{n-1} s / sqrt(n); Student, The probable error of a mean, Biometrika 1908.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or np.isnan(x).any():
        return float("nan"), float("nan")
    half = float(special.stdtrit(len(x) - 1, (1 + level) / 2) * x.std(ddof=1) / np.sqrt(len(x)))
    return float(x.mean()) - half, float(x.mean()) + half


def wilson(correct: float, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval of a share; NaN for no query.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if total == 0:
        return float("nan"), float("nan")
    z = float(special.ndtri((1 + level) / 2))
    p = correct / total
    scale = 1 + z * z / total
    centre = (p + z * z / (2 * total)) / scale
    half = z * float(np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))) / scale
    # The interval reaches exactly 0 or 1 where the share does; rounding must not leave the share outside.
    return min(centre - half, p), max(centre + half, p)


def estimate(values: Sequence[Floats], *, shared: bool, episodes: bool = False, level: float = LEVEL) -> Estimate:
    """Return the mean over seeds and queries with the interval that suits the design.

    Parameters
    ----------
    values : sequence of float arrays [q]
        One array a seed.
    shared : bool
        Whether the arrays are of the same queries in the same order.
    episodes : bool
        Whether the values are those of episodes, each dealt on its own, and not of queries.

    Notes
    -----
    Seeds that share their queries: two-way random effects (:func:`two_way`). Seeds with queries of their own: Student's
    t over the seeds' means, whose spread holds that of the queries. One seed: Student's t over its queries. Episodes:
    :func:`nested`.
    """
    if episodes and not shared and len(values) > 1 and all(len(v) > 1 for v in values):
        return nested(values, level)
    if len(values) == 1:
        return _one_way(np.asarray(values[0], dtype=np.float64), level, "episodes" if episodes else "queries")
    if shared and len(values[0]) > 1:
        return two_way(np.stack(values), level)
    means = np.array([v.mean() for v in values])
    variance = float(means.var(ddof=1))
    least = min(len(v) for v in values)
    spread = Spread(variance, 0, 0)
    return _student(means.mean(), variance / len(means), len(means) - 1, "seeds", spread, (len(means), least), level)


def two_way(y: Floats, level: float = LEVEL) -> Estimate:
    """Return the interval of a mean over seeds and queries that are crossed, y [s, q].

    With mean squares of seeds MS_s (s - 1 degrees of freedom), queries MS_q (q - 1) and the rest MS_e,
    Var(mean) = (MS_s + MS_q - MS_e) / (s q), and Student's t with Satterthwaite's degrees of freedom
    (MS_s + MS_q - MS_e)^2 / (MS_s^2 / (s - 1) + MS_q^2 / (q - 1) + MS_e^2 / ((s - 1) (q - 1))).
    Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 1946;
    Searle, Casella and McCulloch, Variance Components, 1992, section 4.3. Where the sum falls below one of its two
    terms, a component is estimated negative and the larger term is taken alone.
    """
    s, q = y.shape
    rows, columns, grand = y.mean(1), y.mean(0), y.mean()
    seeds = q * float(rows.var(ddof=1))
    queries = s * float(columns.var(ddof=1))
    total = float(((y - grand) ** 2).sum())
    rest = max(0.0, total - seeds * (s - 1) - queries * (q - 1)) / ((s - 1) * (q - 1))
    both = seeds + queries - rest
    top = max(both, seeds, queries)
    if top > both:
        df = float(s - 1 if seeds >= queries else q - 1)
    else:
        below = seeds**2 / (s - 1) + queries**2 / (q - 1) + rest**2 / ((s - 1) * (q - 1))
        df = both**2 / below if below else float(q - 1)
    spread = Spread(max(0.0, (seeds - rest) / q), max(0.0, (queries - rest) / s), rest)
    return _student(grand, top / (s * q), df, "seeds and queries", spread, (s, q), level)


def nested(values: Sequence[Floats], level: float = LEVEL) -> Estimate:
    """Return the interval of the mean over seeds of the means over their own episodes.

    With mean squares MS_s between seeds (s - 1 degrees of freedom) and MS_e within them (n - s, n episodes in all), the
    variance of the mean is max(MS_s, MS_e) / n, with Student's t at the degrees of freedom of the larger (one-way
    random effects; Searle, Casella and McCulloch, Variance Components, 1992, chapter 3). Where seeds add nothing of
    their own, the interval is that over all episodes; where they do, as with methods that are trained once a seed, it
    is that over seeds.
    """
    sizes = np.array([len(v) for v in values])
    means = np.array([v.mean() for v in values])
    s, n = len(values), int(sizes.sum())
    between = n / s * float(means.var(ddof=1))
    within = sum(float(((v - m) ** 2).sum()) for v, m in zip(values, means, strict=True)) / (n - s)
    over, df, larger = ("seeds", s - 1, between) if between > within else ("episodes", n - s, within)
    spread = Spread(larger * s / n, 0, 0)
    return _student(means.mean(), larger / n, df, over, spread, (s, int(sizes.min())), level)


def _one_way(y: Floats, level: float, over: str) -> Estimate:
    if len(y) < 2:
        nan = float("nan")
        return Estimate(float(y.mean()), nan, nan, nan, nan, "nothing", Spread(nan, nan, nan), 1, len(y))
    variance = float(y.var(ddof=1))
    return _student(y.mean(), variance / len(y), len(y) - 1, over, Spread(0, variance, 0), (1, len(y)), level)


def _student(
    mean: float, variance: float, df: float, over: str, spread: Spread, shape: tuple[int, int], level: float
) -> Estimate:
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(df, (1 + level) / 2)) * error
    return Estimate(float(mean), float(mean) - half, float(mean) + half, error, float(df), over, spread, *shape)
