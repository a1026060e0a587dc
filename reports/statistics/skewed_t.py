"""Student's t for a few skewed values: means over data sets, which are few and seldom symmetric."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.reports.forms.limits import student_quantile

Floats = NDArray[np.float64]

FEW = 5
"""Values from which their skewness says something."""

_STRICTER = 0.6
"""Of fewer than five values the t is taken at 0.6 of the level: 97 % in place of 95 %."""


def skewed_t(values: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Return the limits of the mean of values [..., n] and the two-sided p-value of it being 0.

    With five values or more, T = sqrt(n) (mean - mu) / s is made symmetric before Student's t with n - 1 degrees of
    freedom is asked: h(T) = T + a T^2 + a^2 T^3 / 3 + g / (6 sqrt n), a = g / (3 sqrt n), g the unbiased skewness. That
    is the modified t of Johnson, Modified t tests and confidence intervals for asymmetrical populations, JASA 1978,
    with the cubic term that makes it monotone, so that it can be inverted (Hall, On the removal of skewness by
    transformation, JRSS B 1992). Of fewer values skewness cannot be estimated; the t is taken at 97 % in place of 95 %,
    so that it covers 90 % where values are exponential. NaN for one value, and for values that are all the same: they
    say nothing of others.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    nothing = np.full(x.shape[:-1], np.nan)
    if n < 2:
        return nothing, nothing, nothing
    mean, s = x.mean(-1), x.std(-1, ddof=1)
    alpha = 1 - level
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(s > 1e-12 * np.maximum(1.0, np.abs(mean)), s / np.sqrt(n), np.nan)
        t = mean / error
        if n < FEW:
            half = student_quantile(alpha * _STRICTER, n - 1) * error
            p = np.minimum(1.0, 2 * special.stdtr(n - 1, -np.abs(t)) / _STRICTER)
            return mean - half, mean + half, p
        third = np.power(x - mean[..., None], 3).sum(-1) * n / ((n - 1) * (n - 2))
        g = third / (error * np.sqrt(n)) ** 3
        a, shift = g / (3 * np.sqrt(n)), g / (6 * np.sqrt(n))
        quantile = student_quantile(alpha, n - 1)
        low, high = (mean - _inverse(side, a, shift) * error for side in (quantile, -quantile))
        h = t + a * t**2 + a**2 * t**3 / 3 + shift
    return low, high, np.asarray(2 * special.stdtr(n - 1, -np.abs(h)))


def _inverse(h: Floats, a: Floats, shift: Floats) -> Floats:
    """Return T with T + a T^2 + a^2 T^3 / 3 + shift = h: ((1 + 3 a (h - shift))^(1/3) - 1) / a."""
    plain = h - shift
    with np.errstate(divide="ignore", invalid="ignore"):
        cubic = (np.cbrt(1 + 3 * a * plain) - 1) / a
    return np.where(np.abs(a) < 1e-9, plain, cubic)
