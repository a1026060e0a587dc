"""The table of accuracy with and without near-duplicates of the queries, and its file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.near_duplicates import LARGE_CHANGE, LARGE_SHARE
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, ordered, percent, without_constants


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield accuracy with and without the queries that have a near-duplicate, where that was audited."""
    if len(analysis.near_duplicates):
        yield table(analysis.near_duplicates)
        yield DataFile("audit", analysis.near_duplicates)


def table(audited: pd.DataFrame) -> Table:
    """Return the audit as a table."""
    rows = []
    for row in ordered(audited):
        share = row["n_near_duplicates"] / row["n_queries"]
        warned = share > LARGE_SHARE and abs(row["difference"]) > LARGE_CHANGE
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"])),
                Cell(f"{row['n_near_duplicates']:.4g}", float(row["n_near_duplicates"])),
                Cell(f"{row['n_queries']:.6g}", float(row["n_queries"])),
                Cell(percent(share), float(share)),
                *(
                    Cell("-" if math.isnan(row[c]) else percent(row[c], 2), float(row[c]))
                    for c in ("accuracy", "accuracy_without")
                ),
                Cell(_points(row["difference"]), float(row["difference"]), bold=warned),
            )
        )
    caption = (
        "A query with a near-duplicate (cosine of 0.97 or more, unless its data set declares another threshold) among "
        "the support, memory or training images dealt to its episode may be answered by recognising the image. Counts "
        "and accuracies are means over seeds, over the queries of the last session. Bold: more than 1 % of the "
        "queries have one, and without them accuracy changes by more than 0.1 points. What was not found is not "
        "counted: `bench audit --recall` bounds the copies of a kind that were missed, where its recall is known."
    )
    head = (
        *("scenario", "data set", "condition", "method", "near-duplicates", "queries", "of queries %"),
        *("accuracy %", "without %", "difference, points"),
    )
    return without_constants(Table("audit", "Audit", caption, head, tuple(rows)))


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{round(100 * value, 2) + 0.0:+.2f}"
