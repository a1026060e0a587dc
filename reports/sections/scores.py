"""The main table: every metric of every method, and the summary's file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.records.keys import GROUP
from bench.reports.records.oracle import ORACLE
from bench.reports.statistics.aggregate import summary
from bench.reports.statistics.paired_tests import PairedComparison
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, ordered, share, without_constants


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield scores over seeds as a table, and those of each seed with them as a file of numbers."""
    yield table(analysis.means, analysis.comparisons[0])
    yield DataFile("summary", summary(analysis.cells, analysis.means), parquet=True)


def table(means: pd.DataFrame, comparisons: Sequence[PairedComparison]) -> Table:
    """Return the main table, best method first in each group; bold where no method is shown to be better."""
    beaten = {(*_group(c), c.b) for c in comparisons if c.verdict == "better"}
    beaten |= {(*_group(c), c.a) for c in comparisons if c.verdict == "worse"}
    shown = [metric for metric in METRICS if metric.head and means[metric.name].notna().any()]
    rows = []
    for row in ordered(means):
        key = tuple(str(row[column]) for column in [*GROUP, "method"])
        fair = key not in beaten and row["selection"] != ORACLE
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"]), bold=fair),
                *(
                    Cell(text(metric, row), float(row[metric.name]), metric.name == "accuracy" and fair)
                    for metric in shown
                ),
                Cell(str(row["seeds"]), float(row["seeds"])),
                _queries(row["n_queries"]),
            )
        )
    heads = [metric.column_head for metric in shown]
    head = ("scenario", "data set", "condition", "method", *heads, "seeds", "queries")
    caption = f"{_intervals(means)} {_BOLD}"
    notes = [*(metric.meaning for metric in shown), *(metric.caveat for metric in shown)]
    caption += "".join(f" {note}" for note in notes if note)
    return without_constants(Table("scores", "Scores", caption, head, tuple(rows)))


_BOLD = (
    "Bold: no other method is shown to be better in accuracy. An oracle chose on the queries themselves: it is an "
    "upper bound, stands last and is compared with no other."
)


def _intervals(means: pd.DataFrame) -> str:
    """Return what the intervals of the table are over."""
    if not (means["seeds"] > 1).any():
        return "One seed: 95 % intervals are over its queries (or episodes) alone, and there is none over seeds."
    alone = [metric.name.replace("_", " ") for metric in METRICS if metric.head and metric.per_query is None]
    listed = " and ".join([", ".join(alone[:-1]), alone[-1]] if len(alone) > 1 else alone)
    return f"Mean over seeds with 95 % intervals: over seeds and queries, for {listed} over seeds alone."


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


def _group(c: PairedComparison) -> tuple[str, str, str]:
    return c.scenario, c.dataset, c.condition
