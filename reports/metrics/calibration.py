"""Calibration error without the part that chance adds, and its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.reports.forms.intervals import Components, apart, crossed, width_squared

Floats = NDArray[np.float64]

BINS = 15

_EVEN = 0.5
"""Power of the gaps that were seen in the sizes that are taken for likely: the larger ones owe more to chance. In
simulations 0.5 covers better than 0 (all alike) and 1 (as they were seen)."""
_HALVINGS = 40
_MOST = 8.0
"""Largest multiple of the gaps that were seen which a limit is looked for at."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """Accuracy minus confidence in each bin of equal width that has a query.

    Attributes
    ----------
    share : float array [b]
        Share of the queries.
    gap : float array [b]
    variance : float array [b]
        Of the gap, over new queries.
    moves : float array [q]
        How far each query moves the plain calibration error.
    """

    share: Floats
    gap: Floats
    variance: Floats
    moves: Floats

    @property
    def plain(self) -> float:
        """Expected calibration error, sum_b n_b / n |gap_b|.

        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599, eq. 5. Bin i holds
        ((i - 1) / 15, i / 15], and the first holds 0 too.
        """
        return float(self.share @ np.abs(self.gap))

    @property
    def shape(self) -> Floats:
        """Sizes of true gaps that are taken for likely, but for one factor [b]."""
        size = np.abs(self.gap)
        return np.asarray(size**_EVEN * size.mean() ** (1 - _EVEN) + 1e-12)

    @property
    def size(self) -> float:
        """Calibration error if the true gaps are the shape."""
        return float(self.share @ self.shape)

    def expected(self, multiple: float) -> tuple[float, float]:
        """Return mean and variance of the plain error if the true gaps are a multiple of the shape.

        |gap + noise| with normal noise has the folded normal distribution (Leone, Nelson and Nottingham, The folded
        normal distribution, Technometrics 1961); its mean is above |gap|, which is what chance adds.
        """
        size, sd = multiple * self.shape, np.sqrt(self.variance)
        mean = sd * np.sqrt(2 / np.pi) * np.exp(-(size**2) / (2 * self.variance)) + size * (
            1 - 2 * special.ndtr(-size / sd)
        )
        return float(self.share @ mean), float(self.share**2 @ (size**2 + self.variance - mean**2))


def gaps(*runs: tuple[NDArray[np.bool_], Floats]) -> list[Gaps]:
    """Return the gaps of each seed, whose correct answers and confidences [q] are given.

    A gap's variance is that of n_b answers whose chance lies between the bin's confidence and its accuracy in all S
    seeds, 1 / (2 S) of the way from the accuracy: half way for one seed, so that a bin of few queries has a variance
    too, and closer to the accuracy the better that is known.
    """
    bins = [np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1) for _, confidences in runs]
    residuals = [correct - confidences for correct, confidences in runs]
    sums = np.stack([np.bincount(i, r, BINS) for i, r in zip(bins, residuals, strict=True)])
    counts = np.stack([np.bincount(i, minlength=BINS) for i in bins])
    lean = (1 - 0.5 / len(runs)) * sums.sum(0) / np.maximum(counts.sum(0), 1)
    return [
        _of_one(i, residual, confidences, lean)
        for i, residual, (_, confidences) in zip(bins, residuals, runs, strict=True)
    ]


def _of_one(bins: NDArray[np.int64], residual: Floats, confidences: Floats, lean: Floats) -> Gaps:
    n, counts = len(bins), np.bincount(bins, minlength=BINS)
    there = counts > 0
    gap = np.bincount(bins, residual, BINS)[there] / counts[there]
    confidence = np.bincount(bins, confidences, BINS)[there] / counts[there]
    chance = np.clip(confidence + lean[there], 0, 1)
    within = np.bincount(bins, confidences**2, BINS)[there] / counts[there] - confidence**2
    variance = np.maximum(chance * (1 - chance) - np.maximum(within, 0), 1e-6) / counts[there]
    full = np.zeros(BINS)
    full[there] = gap
    moves = np.sign(full)[bins] * (residual - full[bins]) / n
    return Gaps(counts[there] / n, gap, variance, moves)


def calibration_error(correct: NDArray[np.bool_], confidences: Floats) -> float:
    """Return the calibration error without the part that chance adds: that of the gaps which explain the plain one.

    Chance makes gaps where there are none: 400 perfectly calibrated answers have a plain error of about 4 %. The result
    is that of gaps of :attr:`Gaps.shape` times a factor with which the plain error that was seen is the one to expect;
    0 if chance alone gives more.
    """
    (found,) = gaps((correct, confidences))
    return _solved(lambda multiple: found.expected(multiple)[0], found.plain) * found.size


def calibration_bounds(
    runs: Sequence[tuple[NDArray[np.bool_], Floats]], *, shared: bool, level: float = 0.95
) -> tuple[float, float]:
    """Return the limits of the mean calibration error over seeds, whose correct answers and confidences [q] are given.

    A multiple of the gaps is within the limits if the plain error that it lets expect is no further from the one that
    was seen than the half-width there: that of a mean over queries and seeds, with the variance of the folded normal.
    """
    each = gaps(*runs)
    plain = float(np.mean([one.plain for one in each]))
    unfolded = max(float(np.mean([one.share**2 @ one.variance for one in each])), 1e-300)
    c = _components(each, shared=shared)

    def edge(sign: int, multiple: float) -> float:
        mean, variance = np.mean([one.expected(multiple) for one in each], axis=0)
        folded = variance / unfolded
        scaled = replace(c, columns=c.columns * folded, rest=c.rest * folded)
        return float(mean + sign * np.sqrt(width_squared(scaled, scaled.from_units, 1 - level)))

    low, high = (_solved(partial(edge, sign), plain) for sign in (1, -1))
    size = float(np.mean([one.size for one in each]))
    return low * size, high * size


def _components(each: Sequence[Gaps], *, shared: bool) -> Components:
    nothing = np.float64(np.nan)
    values = np.array([one.plain for one in each])
    units = np.float64(len(each[0].moves))
    if shared or len(each) == 1:
        moves = np.stack([one.moves for one in each])
        c = crossed(values, moves, gained=nothing, lost=nothing, units=units)  # type: ignore[arg-type]  # numpy scalars are arrays without dimensions
        # What is known of the gaps is known from as many numbers as there are bins.
        return replace(c, df=np.float64(max(min(len(one.gap) for one in each) - 1, 1)))  # type: ignore[arg-type]
    variances = np.array([np.square(one.moves).sum() for one in each])
    return apart(values, variances, gained=nothing, lost=nothing, units=units)  # type: ignore[arg-type]


def _solved(expected: Callable[[float], float], plain: float) -> float:
    """Return the multiple at which a rising function of it is the plain error; 0 if it is more at no gap."""
    least, most = 0.0, _MOST
    if expected(least) >= plain:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        least, most = (middle, most) if expected(middle) < plain else (least, middle)
    return most
