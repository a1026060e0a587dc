"""Several methods over several data sets: ranks, their tests, and robust summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from bench.reports.statistics.families import ALPHA, holm
from bench.utils.errors import BenchError

Floats = NDArray[np.float64]

FEWEST = 5
"""Fewest data sets that are ranked: the distribution of Friedman's statistic is an approximation for many."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Average ranks of k methods over n data sets, 1 is best.

    Attributes
    ----------
    methods : tuple of str
        Best first; so are the rows of everything else.
    ranks : float array [k]
    friedman_p, iman_davenport_p : float
        Whether any method differs at all.
    critical_difference : float
        Nemenyi's: ranks that are closer do not differ at 5 %.
    wilcoxon_p : float array [k, k] or None
        Wilcoxon signed-rank p-values of pairs, Holm-corrected over all pairs; None where none could be below 5 %.
    least_p : float
        The least p-value that Wilcoxon's test can reach after the correction.
    cliques : tuple of (int, int)
        First and last position of each group whose ranks differ by less than the critical difference.
    """

    methods: tuple[str, ...]
    n: int
    ranks: Floats
    friedman_p: float
    iman_davenport_p: float
    critical_difference: float
    wilcoxon_p: Floats | None
    least_p: float
    cliques: tuple[tuple[int, int], ...]

    @property
    def undecided(self) -> str:
        """Why there is no signed-rank test of pairs; empty where there is."""
        if self.wilcoxon_p is not None:
            return ""
        k = len(self.methods)
        return (
            f"no signed-rank test of pairs: with {self.n} data sets and {k * (k - 1) // 2} pairs its least p-value is "
            f"{self.least_p:.3g} after Holm's correction, whatever the results"
        )


def rank(methods: Sequence[str], scores: ArrayLike) -> Ranking:
    """Return the ranking of methods by scores [n, k], larger is better; ties share their mean rank.

    Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006, section 3.2.

    Raises
    ------
    BenchError
        If there are fewer than five data sets or three methods.
    """
    x = np.asarray(scores, dtype=np.float64)
    n, k = x.shape
    if n < FEWEST or k < 3:
        few = f"{n} data sets are too few to rank, it takes {FEWEST}; run more data sets"
        raise BenchError(few if n < FEWEST else f"{k} methods need no ranks; see their difference over data sets")
    ranks = scipy.stats.rankdata(-x, axis=1).mean(0)
    order = np.lexsort((np.asarray(methods), ranks))
    x, ranks = x[:, order], ranks[order]
    chi2, p = friedman(x)
    cd = nemenyi(k, n)
    pairs = list(combinations(range(k), 2))
    least = min(1.0, len(pairs) * 2.0 ** (1 - n))
    table = None
    if least < ALPHA:
        corrected = holm([wilcoxon(x[:, i], x[:, j]) for i, j in pairs])
        table = np.ones((k, k))
        for (i, j), value in zip(pairs, corrected, strict=True):
            table[i, j] = table[j, i] = value
    return Ranking(
        methods=tuple(np.asarray(methods)[order].tolist()),
        n=n,
        ranks=ranks,
        friedman_p=p,
        iman_davenport_p=iman_davenport(chi2, n, k),
        critical_difference=cd,
        wilcoxon_p=table,
        least_p=least,
        cliques=cliques(ranks, cd),
    )


def friedman(x: Floats) -> tuple[float, float]:
    """Return Friedman's chi-square over scores [n, k] and its p-value, corrected for ties; 0 and 1 if all are tied.

    Friedman, The use of ranks to avoid the assumption of normality, JASA 1937; Conover, 1999, section 5.8.
    """
    if (x == x[:, :1]).all():
        return 0.0, 1.0
    test = scipy.stats.friedmanchisquare(*x.T)
    return float(test.statistic), float(test.pvalue)


def iman_davenport(chi2: float, n: int, k: int) -> float:
    """Return the p-value of F = (n - 1) chi2 / (n (k - 1) - chi2), less conservative than Friedman's.

    Iman and Davenport, Approximations of the critical region of the Friedman statistic, 1980.
    """
    below = n * (k - 1) - chi2
    return 0.0 if below <= 1e-12 else float(scipy.stats.f.sf((n - 1) * chi2 / below, k - 1, (k - 1) * (n - 1)))


def nemenyi(k: int, n: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of average ranks: q sqrt(k (k + 1) / (6 n)).

    q is the upper quantile of the studentised range of k means with infinite degrees of freedom, divided by sqrt 2
    (Demsar, JMLR 2006, table 5a).
    """
    q = float(scipy.stats.studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def wilcoxon(a: Floats, b: Floats) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, zeros split (Pratt); 1 if nothing differs."""
    return 1.0 if (a == b).all() else float(scipy.stats.wilcoxon(a, b, zero_method="pratt").pvalue)


def cliques(ranks: Floats, critical: float) -> tuple[tuple[int, int], ...]:
    """Return the widest runs of ascending ranks whose ends are closer than the critical difference."""
    spans: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.flatnonzero(ranks < ranks[first] + critical)[-1])
        if last > first and (not spans or last > spans[-1][1]):
            spans.append((first, last))
    return tuple(spans)


def interquartile_mean(x: ArrayLike) -> float:
    """Return the mean of the middle half of values, robust to a failed data set and a saturated one.

    Agarwal et al., Deep RL at the Edge of the Statistical Precipice, NeurIPS 2021, arXiv:2108.13264, section 4.3.
    """
    values = np.sort(np.ravel(np.asarray(x, dtype=np.float64)))
    quarter = len(values) // 4
    return float(values[quarter : len(values) - quarter].mean())


def performance_profile(x: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Return the share of runs that score above each threshold.

    Dolan and More 2002 with scores in place of ratios, as in Agarwal et al., 2021, section 4.2.
    """
    values = np.sort(np.ravel(np.asarray(x, dtype=np.float64)))
    return np.asarray(1 - np.searchsorted(values, np.asarray(thresholds), side="right") / len(values))
