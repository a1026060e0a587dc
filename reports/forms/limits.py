"""Exact limits of shares and of paired differences, at numbers of queries that need not be whole.

Every function takes arrays of any shape, so that a simulation is one call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

_NEAR = 5.0
"""Expected answers of the rarer kind below which a limit is exact, whatever else the error is made of."""
_TINY = 1e-9


def normal_quantile(alpha: ArrayLike) -> Floats:
    """Return z with P(|Z| > z) = alpha for a standard normal Z."""
    return np.asarray(-special.ndtri(np.asarray(alpha, dtype=np.float64) / 2), dtype=np.float64)


def student_quantile(alpha: ArrayLike, df: ArrayLike) -> Floats:
    """Return t with P(|T| > t) = alpha for Student's T with ``df`` degrees of freedom; they may be infinite."""
    return np.asarray(
        -special.stdtrit(np.asarray(df, dtype=np.float64), np.asarray(alpha, dtype=np.float64) / 2), dtype=np.float64
    )


def share_limits(x: ArrayLike, n: ArrayLike, alpha: float = 0.05, smooth: ArrayLike = 0.0) -> tuple[Floats, Floats]:
    """Return the limits of a share of which x of n were seen, by quantiles of the beta distribution.

    With ``smooth`` = 0 they are those of Clopper and Pearson, The use of confidence or fiducial limits, Biometrika
    1934, who count half an answer on each side for the steps of a count; x and n need not be whole (Korn and Graubard,
    Confidence intervals for proportions with small expected number of positive counts, Survey Methodology 1998).

    Parameters
    ----------
    x, n : array_like
    alpha : float
        Chance that is left outside, half on each side.
    smooth : array_like
        From 0 to 0.5: how much of that half answer is left out, where seeds smooth the steps. Near a border (fewer than
        five of a kind) less of it is, and at the border nothing.
    """
    x, n = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
    rest = np.maximum(n - x, 0.0)
    cut = np.asarray(smooth) * np.minimum(1.0, np.minimum(x, rest) / _NEAR)
    low = special.betaincinv(np.maximum(x + cut, _TINY), rest + 1 - cut, alpha / 2)
    high = special.betaincinv(x + 1 - cut, np.maximum(rest + cut, _TINY), 1 - alpha / 2)
    return np.where(x > _TINY, low, 0.0), np.where(rest > _TINY, high, 1.0)


def paired_limits(
    gained: ArrayLike, lost: ArrayLike, n: ArrayLike, alpha: float = 0.05, smooth: ArrayLike = 0.0
) -> tuple[Floats, Floats]:
    """Return the limits of the difference of two shares on the same n queries.

    The share of queries that only one method answers rightly and the share that only the other does each have
    :func:`share_limits`; they are joined by squaring and adding, with their correlation -sqrt(p q / ((1 - p)(1 - q)))
    (Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 1998, with exact limits in place of Wilson's). Without any such query the limits are those of
    0 of n, about -3.7 / n and 3.7 / n.
    """
    n = np.asarray(n, dtype=np.float64)
    p, q = np.asarray(gained) / n, np.asarray(lost) / n
    (p_low, p_high), (q_low, q_high) = share_limits(gained, n, alpha, smooth), share_limits(lost, n, alpha, smooth)
    both = np.sqrt(p * q / np.maximum((1 - p) * (1 - q), _TINY))
    down, up = (
        np.sqrt(a * a + b * b + 2 * np.minimum(both, 1.0) * a * b)
        for a, b in ((p - p_low, q_high - q), (p_high - p, q - q_low))
    )
    return p - q - down, p - q + up


def mcnemar(gained: ArrayLike, lost: ArrayLike) -> Floats:
    """Return McNemar's exact two-sided p-value from the queries that only one, and only the other, answered rightly.

    min(1, 2 P(X <= min)) with X binomial(gained + lost, 1/2), by the incomplete beta function, so that effective
    numbers do too; McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika
    1947.
    """
    least = np.minimum(gained, lost)
    more = np.maximum(np.asarray(gained) + np.asarray(lost) - least, _TINY)
    return np.asarray(np.minimum(1.0, 2 * special.betainc(more, least + 1, 0.5)))
