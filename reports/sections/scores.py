"""The main table: every metric of every method, and the summary's file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.records.keys import GROUP
from bench.reports.statistics.aggregate import summary
from bench.reports.statistics.table_marks import BEST, OPEN, Marks
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, ordered, share, without_constants
from bench.reports.utils.text import populations


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield scores over seeds as a table, and those of each seed with them as a file of numbers."""
    yield table(analysis.means, analysis.marks)
    yield DataFile("summary", summary(analysis.cells, analysis.means), parquet=True)


def table(means: pd.DataFrame, marked: Marks) -> Table:
    """Return the main table, best method first in each group, with the marks of each column."""
    shown = [metric for metric in METRICS if metric.head and means[metric.name].notna().any()]
    rows = []
    for row in ordered(means):
        scenario, dataset, condition, method = (str(row[column]) for column in [*GROUP, "method"])
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"])),
                *(
                    _marked(metric, row, marked.get((scenario, dataset, condition, method, metric.name)))
                    for metric in shown
                ),
                Cell(str(row["seeds"]), float(row["seeds"])),
                _queries(row["n_queries"]),
            )
        )
    heads = [metric.column_head for metric in shown]
    head = ("scenario", "data set", "condition", "method", *heads, "seeds", "queries")
    caption = f"{_intervals(means)} {_MARKS}"
    notes = [*(metric.meaning for metric in shown), *(metric.caveat for metric in shown)]
    caption += "".join(f" {note}" for note in notes if note)
    return without_constants(Table("scores", "Scores", caption, head, tuple(rows)))


def _marked(metric: Metric, row: Mapping[str, Any], mark: str | None) -> Cell:
    shown = text(metric, row)
    return Cell(f"{shown} {DAGGER}" if mark == OPEN else shown, float(row[metric.name]), mark == BEST)


DAGGER = "\u2020"

_MARKS = (
    f"Bold: the largest mean (of errors and forgetting the least). {DAGGER}: not shown to be worse than it, by the "
    "p-values of all "
    "pairs of methods in that column after Holm's correction; what has neither mark is. An oracle chose on the queries "
    "themselves: it is an upper bound, stands last and is compared with no other."
)


def _intervals(means: pd.DataFrame) -> str:
    """Return what the intervals of the table speak for."""
    over = populations(zip(means["scenario"].astype(str), means["over"], strict=True))
    if not over:
        return "There are no intervals: it takes predictions, or several seeds."
    text = f"95 % intervals speak for {over}."
    alone = [metric.head for metric in METRICS if metric.head and metric.biased and means[metric.name].notna().any()]
    return text + (f" {', '.join(alone)}: no interval." if alone else "")


def text(metric: Metric, row: Mapping[str, Any]) -> str:
    """Return a metric of a row with its bounds, as a table shows it; a dash for what was not measured."""
    value, low, high = (float(row[f"{metric.name}{side}"]) for side in ("", "_low", "_high"))
    if metric.percent:
        return share(value, low, high)
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _queries(number: int | str) -> Cell:
    """Return how many queries a method had: seeds with queries of their own can have unequal numbers."""
    each = sorted(map(int, str(number).split("/")))
    return Cell(str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}", float(each[0]))
