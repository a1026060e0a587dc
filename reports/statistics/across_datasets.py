"""Results over several data sets: means, paired differences, and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.families import holm
from bench.reports.statistics.ranks import Ranking, rank
from bench.reports.statistics.signed_rank import SignedRank, signed_rank
from bench.reports.statistics.skewed_t import FEW, skewed_t
from bench.results.selection_packs import SELECTION_PACKS
from bench.utils.errors import BenchError

POPULATION = "new data sets like these"

_SIGNED_RANK = 5
"""Fewest data sets of which the signed-rank posterior is shown."""


@dataclass(frozen=True)
class DatasetDifference:
    """Method ``a`` against ``b`` over the data sets on which both ran; differences are a minus b.

    Attributes
    ----------
    mean, low, high, p, p_holm : float
    n : int
        Data sets.
    posterior : SignedRank or None
        None with fewer than five data sets.
    """

    a: str
    b: str
    n: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    posterior: SignedRank | None


@dataclass(frozen=True, eq=False, kw_only=True)
class AcrossDatasets:
    """One scenario over several data sets, for the methods that ran on all of them.

    Attributes
    ----------
    scenario : str
    methods : list of str [k]
    groups : list of Group
        The scenario's groups, one a data set and condition.
    accuracy : DataFrame [n, k]
        By data set and method, the mean over conditions.
    low, high : float64 arrays [k]
        Bounds of the mean over data sets.
    differences : tuple of DatasetDifference
        All pairs, or all against the baseline; one family.
    ranking : Ranking or None
        None where there are too few data sets or methods to rank.
    """

    scenario: str
    methods: list[str]
    groups: list[Group]
    accuracy: pd.DataFrame
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    differences: tuple[DatasetDifference, ...]
    ranking: Ranking | None


def across_datasets(
    groups: Sequence[Group], means: pd.DataFrame, *, region: float, baseline: str | None = None
) -> tuple[list[AcrossDatasets], list[str]]:
    """Return what can be said over the data sets of each scenario that has several, and why not more.

    Data sets on which defaults were chosen (:data:`bench.results.selection_packs.SELECTION_PACKS`) are left out.
    """
    results: list[AcrossDatasets] = []
    notes: list[str] = []
    for scenario in sorted({group.scenario for group in groups}):
        every = [group for group in groups if group.scenario == scenario]
        part = [group for group in every if group.dataset not in SELECTION_PACKS]
        chosen_on = sorted({group.dataset for group in every} & SELECTION_PACKS)
        if chosen_on and len({group.dataset for group in every}) > 1:
            notes.append(f"{scenario}: not in means and ranks, as defaults were chosen on them: {', '.join(chosen_on)}")
        if len({group.dataset for group in part}) < 2:
            continue
        methods = sorted(set.intersection(*(set(group.predictions) for group in part)))
        left = sorted({method for group in part for method in group.predictions} - set(methods))
        if left:
            notes.append(f"{scenario}: {', '.join(left)} did not run on all data sets, so not in the overall table")
        if not methods:
            continue
        rows = means[(means["scenario"] == scenario) & ~means["dataset"].isin(SELECTION_PACKS)]
        # Conditions of one data set are no data sets of their own: they are averaged before anything is ranked.
        grid = rows.pivot_table("accuracy", ["dataset", "condition"], "method")[methods]
        accuracy = grid.groupby(level="dataset").mean()
        if len(accuracy) < FEW:
            notes.append(
                f"{scenario}: {len(accuracy)} data sets are few; intervals over them are wide, and too short where "
                "results "
                "are very skewed"
            )
        ranking = None
        try:
            ranking = rank(methods, accuracy.to_numpy())
        except BenchError as reason:
            notes.append(f"{scenario}: no ranks: {reason}")
        if ranking is not None and ranking.undecided:
            notes.append(f"{scenario}: {ranking.undecided}")
        low, high, _ = skewed_t(accuracy.to_numpy().T)
        results.append(
            AcrossDatasets(
                scenario=scenario,
                methods=methods,
                groups=part,
                accuracy=accuracy,
                low=low,
                high=high,
                differences=_differences(scenario, accuracy, region, baseline),
                ranking=ranking,
            )
        )
    return results, notes


def _differences(
    scenario: str, accuracy: pd.DataFrame, region: float, baseline: str | None
) -> tuple[DatasetDifference, ...]:
    """Return the paired differences over data sets, corrected together."""
    methods = list(accuracy.columns)
    pairs = list(combinations(methods, 2))
    if baseline is not None:
        pairs = [(method, baseline) for method in methods if method != baseline and baseline in methods]
    if not pairs:
        return ()
    d = np.stack([(accuracy[a] - accuracy[b]).to_numpy() for a, b in pairs])
    low, high, p = skewed_t(d)
    low, high = np.clip(low, -1, 1), np.clip(high, -1, 1)
    # Methods that are equal on every data set show no difference.
    p = np.where((d == 0).all(1), 1.0, p)
    corrected = holm(p)
    return tuple(
        DatasetDifference(
            a=a,
            b=b,
            n=d.shape[1],
            mean=float(d[i].mean()),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p[i]),
            p_holm=float(corrected[i]),
            posterior=signed_rank(d[i], region, f"{scenario}|{a}|{b}") if d.shape[1] >= _SIGNED_RANK else None,
        )
        for i, (a, b) in enumerate(pairs)
    )
