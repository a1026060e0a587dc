"""The tables over several data sets: means of each method, and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.reports.analysis import Analysis
from bench.reports.statistics.across_datasets import FEWEST, AcrossDatasets
from bench.reports.statistics.ranks import Ranking, interquartile_mean
from bench.reports.tables.table import Cell, Table, percent, probability, share
from bench.reports.utils.note import Note
from bench.reports.utils.text import slug


def section(analysis: Analysis) -> Iterator[Table | Note]:
    """Yield a table of means a scenario with several data sets, and one of ranks where these can be told apart."""
    results, notes = analysis.across_datasets
    for result in results:
        yield means_table(result)
        if result.ranking is not None:
            yield ranks_table(result.scenario, result.ranking)
    yield from map(Note, notes)


def means_table(result: AcrossDatasets) -> Table:
    """Return mean accuracy over the data sets, with the interquartile mean and the worst data set."""
    n = len(result.accuracy)
    mean = result.accuracy.mean()
    order = sorted(range(len(result.methods)), key=lambda i: (-mean.iloc[i], result.methods[i]))
    rows = []
    for i in order:
        values = result.accuracy.iloc[:, i]
        middle = interquartile_mean(values) if n >= 4 else math.nan
        rows.append(
            (
                Cell(result.methods[i], result.methods[i]),
                Cell(share(mean.iloc[i], result.low[i], result.high[i]), float(mean.iloc[i])),
                Cell("-" if math.isnan(middle) else percent(middle), middle),
                Cell(percent(values.min()), float(values.min())),
            )
        )
    why = (
        "The interval is a hierarchical bootstrap over data sets, seeds and queries."
        if not np.isnan(result.low).any()
        else f"No interval over data sets: it takes {FEWEST} of them, each with one condition and paired seeds."
    )
    several = " Conditions of a data set are averaged first." if len(result.groups) > n else ""
    caption = (
        f"Mean accuracy over {n} data sets of {result.scenario}.{several} {why} The interquartile mean (IQM) leaves "
        "out the lowest and the highest quarter."
    )
    head = ("method", "mean %", "IQM %", "worst %")
    name, title = slug("overall", result.scenario), f"Overall: {result.scenario}"
    return Table(name, title, caption, head, tuple(rows))


def ranks_table(scenario: str, ranking: Ranking) -> Table:
    """Return mean ranks with the p-values of all pairs."""
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
