"""Paired comparisons of two methods on the same seeds and queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.intervals import Estimate, Floats, Spread, estimate
from bench.reports.utils.random import generator

REGION = 0.01
"""Half-width of the region of practical equivalence: differences below one point of accuracy are no difference."""

ALPHA = 0.05
POWER = 0.8
_MOST_SEEDS = 1000
_FLIPS = 10_000


@dataclass(frozen=True)
class PairedComparison:
    """Method ``a`` against method ``b`` in one group; differences are accuracy of a minus accuracy of b.

    Attributes
    ----------
    difference : Estimate
        Mean difference with its 95 % interval and p-value.
    p_holm : float
        The p-value after Holm's correction over all comparisons shown.
    p_permutation : float
        Sign-flip permutation over queries: about these seeds and new queries, not about new seeds.
    p_mcnemar : tuple of float
        Exact McNemar p-value of each seed; with episodes, the sign test over them, which is the same formula.
    superiority : float
        Share of seeds in which a is ahead, a tie counting half (Bouthillier et al., MLSys 2021, arXiv:2103.03098).
    verdict : str
        ``better``, ``worse``, ``equivalent`` or ``undecided``.
    seeds_needed : int or None
        Seeds at which a true difference of this size is found with 80 % power; None if no number of seeds does it.
    """

    scenario: str
    dataset: str
    condition: str
    a: str
    b: str
    seeds: tuple[int, ...]
    difference: Estimate
    p_permutation: float
    p_mcnemar: tuple[float, ...]
    superiority: float
    seeds_needed: int | None
    p_holm: float = float("nan")
    verdict: str = "undecided"


def paired_comparisons(groups: Iterable[Group], region: float = REGION) -> tuple[list[PairedComparison], list[str]]:
    """Return every pair of methods in every group, corrected together, and what could not be paired and why."""
    comparisons, notes = [], []
    for group in groups:
        for a, b in combinations(sorted(group.predictions), 2):
            one, two = group.predictions[a], group.predictions[b]
            common = sorted(set(one) & set(two))
            seeds = tuple(s for s in common if one[s].fingerprint == two[s].fingerprint)
            if len(seeds) < len(common):
                notes.append(
                    f"{a} and {b} on {group.dataset} had different queries in {len(common) - len(seeds)} seeds, "
                    "which are left out of their comparison"
                )
            if seeds:
                comparisons.append(_compare(group, a, b, seeds))
    corrected = holm([c.difference.p for c in comparisons])
    whole = [replace(c, p_holm=p) for c, p in zip(comparisons, corrected, strict=True)]
    # Groups of one data set say the same where its conditions do.
    return [replace(c, verdict=verdict(c, region)) for c in whole], list(dict.fromkeys(notes))


def as_frame(comparisons: Iterable[PairedComparison]) -> pd.DataFrame:
    """Return the rows of ``comparisons.csv``."""
    columns = [
        *("scenario", "dataset", "condition", "a", "b", "seeds", "queries", "difference", "low", "high", "over", "p"),
        *("p_holm", "p_permutation", "p_mcnemar", "superiority", "verdict", "seeds_needed"),
    ]
    rows = [
        (
            *(c.scenario, c.dataset, c.condition, c.a, c.b, " ".join(map(str, c.seeds)), c.difference.n_queries),
            *(c.difference.mean, c.difference.low, c.difference.high, c.difference.over, c.difference.p),
            *(c.p_holm, c.p_permutation, " ".join(f"{p:.6g}" for p in c.p_mcnemar), c.superiority, c.verdict),
            c.seeds_needed,
        )
        for c in comparisons
    ]
    return pd.DataFrame(rows, columns=columns).astype({"seeds_needed": "Int64"})


def _compare(group: Group, a: str, b: str, seeds: tuple[int, ...]) -> PairedComparison:
    one = [group.predictions[a][s] for s in seeds]
    two = [group.predictions[b][s] for s in seeds]
    differences = [
        x.per_query_accuracy.astype(np.float64) - y.per_query_accuracy for x, y in zip(one, two, strict=True)
    ]
    shared = len({x.fingerprint for x in one}) == 1
    mean = estimate(differences, shared=shared, episodes=one[0].episode is not None)
    ahead = np.sign([d.mean() for d in differences])
    return PairedComparison(
        scenario=group.scenario,
        dataset=group.dataset,
        condition=group.condition,
        a=a,
        b=b,
        seeds=seeds,
        difference=mean,
        p_permutation=permutation(differences, shared=shared, purpose=f"{group.name}|{a}|{b}"),
        p_mcnemar=tuple(mcnemar(int((d > 0).sum()), int((d < 0).sum())) for d in differences),
        superiority=float((ahead + 1).mean() / 2),
        seeds_needed=seeds_to_settle(mean.mean, mean.spread, mean.n_queries) if len(seeds) > 1 else None,
    )


def verdict(comparison: PairedComparison, region: float) -> str:
    """Return what the interval and the corrected p-value allow to say.

    ``equivalent`` if the whole 95 % interval lies within +- region (two one-sided tests at 2.5 %; Schuirmann 1987);
    else ``better`` or ``worse`` if the corrected p-value is below 5 %; else ``undecided``.
    """
    d = comparison.difference
    if d.low > -region and d.high < region:
        return "equivalent"
    if comparison.p_holm < ALPHA:
        return "better" if d.mean > 0 else "worse"
    return "undecided"


def mcnemar(only_a: int, only_b: int) -> float:
    """Return McNemar's exact two-sided p-value from the queries that only a, and only b, answered rightly.

    min(1, 2 P(X <= min)) with X binomial(only_a + only_b, 1/2); McNemar, Psychometrika 1947.
    """
    return float(min(1.0, 2 * special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def permutation(differences: Sequence[Floats], *, shared: bool, purpose: str) -> float:
    """Return the two-sided sign-flip permutation p-value, 10,000 flips; the sign of a query flips in all its seeds.

    (1 + number of flips at least as far from 0) / (1 + flips); Phipson and Smyth, 2010, arXiv:1603.05766.
    """
    sums = np.stack(differences).sum(0) if shared else np.concatenate(differences)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    # A sum of n flipped values of size v is v (2 X - n) with X binomial(n, 1/2): no flip is drawn on its own.
    drawn = generator("permutation", purpose).binomial(counts, 0.5, (_FLIPS, len(counts)))
    flipped = np.abs((2 * drawn - counts) @ sizes)
    return float((1 + (flipped >= abs(sums.sum()) - 1e-9).sum()) / (1 + _FLIPS))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values after Holm's step-down correction; NaN stays NaN and does not count.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    out = values.copy()
    given = np.flatnonzero(~np.isnan(values))
    order = given[np.argsort(values[given], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return out


def seeds_to_settle(mean: float, spread: Spread, n_queries: int, power: float = POWER) -> int | None:
    """Return the least number of seeds at which a true difference of this size is found with a given power.

    The least s with |mean| >= (t_{.975} + t_{power}) sqrt(v_s / s + v_q / q + v_e / (s q)), with Satterthwaite's
    degrees of freedom at the expected mean squares. None if the queries alone leave too much doubt.
    """
    if mean == 0:
        return None
    for s in range(2, _MOST_SEEDS + 1):
        error, df = expected_error(spread, s, n_queries)
        if abs(mean) >= (special.stdtrit(df, 1 - ALPHA / 2) + special.stdtrit(df, power)) * error:
            return s
    return None


def expected_error(spread: Spread, s: int, q: int) -> tuple[float, float]:
    """Return the standard error and degrees of freedom to expect with s seeds and q queries."""
    if spread.queries == 0 and spread.rest == 0:
        return float(np.sqrt(spread.seeds / s)), s - 1
    seeds = spread.rest + q * spread.seeds
    queries = spread.rest + s * spread.queries
    both = seeds + queries - spread.rest
    df = both**2 / (seeds**2 / (s - 1) + queries**2 / (q - 1) + spread.rest**2 / ((s - 1) * (q - 1)))
    return float(np.sqrt(both / (s * q))), float(df)
