"""Results over several data sets: means with the hierarchical bootstrap, ranks, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.answers import Answers, Group
from bench.reports.bootstrap import Sample, over_datasets, percentile
from bench.reports.plots import critical_difference
from bench.reports.ranks import Ranking, interquartile_mean, performance_profile, rank
from bench.reports.style import Look, Picture, canvas, legend, looks, picture, slug
from bench.reports.tables import Cell, Table, percent, probability, share
from bench.utils.errors import BenchError

_FEWEST = 5
"""Fewest data sets for an interval over data sets: a bootstrap of four or fewer is far too narrow."""


@dataclass(frozen=True, eq=False)
class Across:
    """Tables, pictures and notes about several data sets; all empty where there is one."""

    tables: list[Table]
    pictures: list[Picture]
    notes: list[str]


def across(groups: Sequence[Group], means: pd.DataFrame) -> Across:
    """Return what can be said over the data sets of each scenario, about the methods that ran on all of them."""
    out = Across([], [], [])
    for scenario in sorted({group.scenario for group in groups}):
        part = [group for group in groups if group.scenario == scenario]
        if len({group.dataset for group in part}) < 2:
            continue
        methods = sorted(set.intersection(*(set(group.answers) for group in part)))
        left = sorted({method for group in part for method in group.answers} - set(methods))
        if left:
            out.notes.append(f"{scenario}: {', '.join(left)} did not run on all data sets, so not in the overall table")
        if not methods:
            continue
        rows = means[means["scenario"] == scenario]
        grid = rows.pivot_table("accuracy", ["dataset", "condition"], "method")[methods]
        out.tables.append(_table(scenario, part, methods, grid))
        out.pictures.append(_profile(scenario, part, methods, looks(means["method"].tolist())))
        try:
            # Conditions of one data set are no data sets of their own: they are averaged before anything is ranked.
            by_dataset = grid.groupby(level="dataset").mean()
            ranking = rank(methods, by_dataset.to_numpy())
        except BenchError as reason:
            out.notes.append(f"{scenario}: no critical-difference diagram: {reason}")
        else:
            out.pictures.append(critical_difference(ranking, scenario))
            out.tables.append(_ranks(scenario, ranking))
    return out


def _samples(groups: Sequence[Group], methods: Sequence[str]) -> list[Sample]:
    samples = []
    for group in groups:
        seeds = sorted(set.intersection(*(set(group.answers[m]) for m in methods)))
        runs = [[group.answers[m][seed] for m in methods] for seed in seeds]
        runs = [run for run in runs if len({a.fingerprint for a in run}) == 1]
        if runs:
            shared = len({run[0].fingerprint for run in runs}) == 1
            samples.append(Sample(group.name, tuple(_stack(run) for run in runs), shared))
    return samples


def _stack(run: Sequence[Answers]) -> np.ndarray:
    return np.stack([a.hits for a in run])


def _table(scenario: str, groups: Sequence[Group], methods: Sequence[str], grid: pd.DataFrame) -> Table:
    samples = _samples(groups, methods)
    n = len({group.dataset for group in groups})
    values = grid.groupby(level="dataset").mean()
    mean = values.mean()
    low = high = np.full(len(methods), math.nan)
    if n >= _FEWEST and len(samples) == len(groups) == n:
        low, high = percentile(over_datasets(samples))
    order = sorted(range(len(methods)), key=lambda i: (-mean.iloc[i], methods[i]))
    rows = tuple(
        (
            Cell(methods[i], methods[i]),
            Cell(share(mean.iloc[i], low[i], high[i]), float(mean.iloc[i])),
            Cell(percent(iqm) if n >= 4 else "-", iqm if n >= 4 else math.nan),
            Cell(percent(values.iloc[:, i].min()), float(values.iloc[:, i].min())),
        )
        for i in order
        for iqm in (interquartile_mean(values.iloc[:, i]),)
    )
    why = (
        "The interval is a hierarchical bootstrap over data sets, seeds and queries."
        if not np.isnan(low).any()
        else f"No interval over data sets: it takes {_FEWEST} of them, each with one condition and paired seeds."
    )
    several = " Conditions of a data set are averaged first." if len(groups) > n else ""
    caption = (
        f"Mean accuracy over {n} data sets of {scenario}.{several} {why} The interquartile mean (IQM) leaves out the "
        "lowest and the highest quarter."
    )
    head = ("method", "mean %", "IQM %", "worst %")
    return Table(slug("overall", scenario), f"Overall: {scenario}", caption, head, rows)


def _ranks(scenario: str, ranking: Ranking) -> Table:
    rows = tuple(
        (
            Cell(method, method),
            Cell(f"{ranking.ranks[i]:.2f}", float(ranking.ranks[i])),
            *(Cell(probability(p) if j != i else "-", float(p)) for j, p in enumerate(ranking.wilcoxon_p[i])),
        )
        for i, method in enumerate(ranking.methods)
    )
    caption = (
        f"Over {ranking.n} data sets. Friedman p = {probability(ranking.friedman_p)}, Iman-Davenport p = "
        f"{probability(ranking.iman_davenport_p)}, Nemenyi's critical difference {ranking.critical_difference:.2f}. "
        "The columns named after methods are Wilcoxon signed-rank p-values after Holm's correction."
    )
    return Table(slug("ranks", scenario), f"Ranks: {scenario}", caption, ("method", "rank", *ranking.methods), rows)


def _profile(scenario: str, groups: Sequence[Group], methods: Sequence[str], look: dict[str, Look]) -> Picture:
    thresholds = np.linspace(0, 1, 201)
    parts = []
    with canvas() as (figure, (axes,)):
        for method in methods:
            runs = [float(run.right.mean()) for group in groups for run in group.answers[method].values()]
            above = performance_profile(runs, thresholds)
            parts.append(pd.DataFrame({"method": method, "threshold": thresholds, "share": above}))
            axes.plot(
                100 * thresholds, 100 * above, color=look[method].colour, linestyle=look[method].dash, label=method
            )
        axes.set_xlabel("accuracy t (%)")
        axes.set_ylabel("runs with accuracy above t (%)")
        axes.set_title(f"{scenario}: performance profile", loc="left")
        legend(figure, axes)
    return picture(
        figure,
        name=slug(scenario, "profile"),
        title=f"Performance profile of {scenario}",
        caption="Share of runs (data set and seed) whose accuracy is above each threshold; higher is better.",
        data=pd.concat(parts, ignore_index=True),
    )
