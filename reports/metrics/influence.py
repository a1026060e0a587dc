"""Influence of single queries on a metric: what its intervals and tests are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Influence:
    """One value of a metric, and how far each unit (query, cluster of them, episode) moves it.

    Attributes
    ----------
    value : float
    moves : float64 array [u]
        First-order effects: the variance of the value, over new units, is the sum of their squares.
    answers : float64 array [u] or None
        What each unit answered, from 0 (wrong) to 1 (right), or from -1 to 1 in a difference; None for a metric that is
        no mean of answers.
    weights : float64 array [u]
        The share of the value that each answer has; they add up to 1.
    """

    value: float
    moves: Floats
    answers: Floats | None
    weights: Floats

    def minus(self, other: Influence) -> Influence:
        """Return the influence on the difference of two values over the same units."""
        answers = None if self.answers is None or other.answers is None else self.answers - other.answers
        weights = (self.weights + other.weights) / 2
        return Influence(self.value - other.value, self.moves - other.moves, answers, weights)

    def clustered(self, clusters: NDArray[np.int64], *, strata: bool = False) -> Influence:
        """Return the influence of clusters of units, which are drawn together.

        Parameters
        ----------
        clusters : int64 array [u]
            Their numbers, from 0.
        strata : bool
            Whether the clusters are what answers were compared within (classes). If strata are drawn themselves, an
            answer is compared with the mean of all.
        """
        n = int(clusters.max()) + 1
        own = self.moves
        if strata and self.answers is not None:
            own = self.weights * (self.answers - float(self.weights @ self.answers))
        weights = np.bincount(clusters, self.weights, n)
        answers = None
        if self.answers is not None:
            with np.errstate(invalid="ignore"):
                answers = np.bincount(clusters, self.weights * self.answers, n) / weights
            answers = np.nan_to_num(answers)
        # With few clusters their moves, which add up to 0, are too small by one degree of freedom.
        few = np.sqrt(n / (n - 1)) if n > 1 else 1.0
        moves = np.asarray(np.bincount(clusters, own, n) * few, dtype=np.float64)
        return Influence(self.value, moves, answers, np.asarray(weights, dtype=np.float64))


def of_values(values: Floats) -> Influence:
    """Return the influence on the mean of any values [u]."""
    n = len(values)
    factor = np.sqrt(n / (n - 1)) if n > 1 else 1.0
    mean = float(values.mean())
    return Influence(mean, (values - mean) * factor / n, None, np.full(n, 1 / n))


def of_answers(answers: Floats) -> Influence:
    """Return the influence on a plain mean of answers [u]."""
    plain = of_values(answers)
    return Influence(plain.value, plain.moves, answers, plain.weights)


def of_strata(answers: Floats, strata: NDArray[np.int64]) -> Influence:
    """Return the influence on a mean over strata (classes) of the mean of each.

    An answer is compared with the mean of its own stratum. With m = n_k + 1 and the overall mean g as one answer more,
    centre_k = (sum_k y + g) / m; (y - centre_k)^2 has (n_k^2 + n_k - 1) / m^2 of the variance of y where strata are
    alike, and is larger where they differ; the moves make up for it. A stratum of one answer is so compared with all
    others, and not with itself.
    """
    _, which, counts = np.unique(strata, return_inverse=True, return_counts=True)
    sums = np.bincount(which, answers)
    value = float((sums / counts).mean())
    more = counts + 1
    centre = (sums + value) / more
    factor = more / np.sqrt(counts**2 + counts - 1)
    weights = 1 / (len(counts) * counts)
    moves = (weights * factor)[which] * (answers - centre[which])
    return Influence(value, moves, answers, weights[which])
