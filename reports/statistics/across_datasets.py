"""Results over several data sets: means with the hierarchical bootstrap, and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.bootstrap import Sample, Values, over_datasets, percentile
from bench.reports.statistics.ranks import Ranking, rank
from bench.results.selection_packs import SELECTION_PACKS
from bench.utils.errors import BenchError

FEWEST = 5
"""Fewest data sets for an interval over data sets: a bootstrap of four or fewer is far too narrow."""


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
        Bounds of the mean over data sets; NaN where there is no interval over data sets.
    ranking : Ranking or None
        None where there are too few data sets or methods to rank.
    """

    scenario: str
    methods: list[str]
    groups: list[Group]
    accuracy: pd.DataFrame
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ranking: Ranking | None


def across_datasets(groups: Sequence[Group], means: pd.DataFrame) -> tuple[list[AcrossDatasets], list[str]]:
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
        ranking = None
        try:
            ranking = rank(methods, accuracy.to_numpy())
        except BenchError as reason:
            notes.append(f"{scenario}: no critical-difference diagram: {reason}")
        low, high = _bounds(part, methods)
        results.append(
            AcrossDatasets(
                scenario=scenario,
                methods=methods,
                groups=part,
                accuracy=accuracy,
                low=low,
                high=high,
                ranking=ranking,
            )
        )
    return results, notes


def _bounds(groups: Sequence[Group], methods: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of each method's mean over data sets [k]; NaN where there is no interval."""
    n = len({group.dataset for group in groups})
    samples = [sample for group in groups if (sample := _sample(group, methods)) is not None]
    if n >= FEWEST and len(samples) == len(groups) == n:
        return percentile(over_datasets(samples))
    return np.full(len(methods), np.nan), np.full(len(methods), np.nan)


def _sample(group: Group, methods: Sequence[str]) -> Sample | None:
    """Return the values of the seeds in which all methods have the same queries; None without such a seed."""
    seeds = sorted(set.intersection(*(set(group.predictions[m]) for m in methods)))
    runs = [[group.predictions[m][seed] for m in methods] for seed in seeds]
    runs = [run for run in runs if len({paired.fingerprint for paired in run}) == 1]
    if not runs:
        return None
    shared = len({run[0].fingerprint for run in runs}) == 1
    values: tuple[Values, ...] = tuple(np.stack([paired.per_query_accuracy for paired in run]) for run in runs)  # type: ignore[misc]  # bool or float64, all of one type
    return Sample(group.name, values, shared)
