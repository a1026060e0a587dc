"""The table of what answers rest on: recall and precision of neighbours, similarity to right and wrong prototypes."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.evidence import evidence
from bench.reports.tables.table import Cell, Table, names_of, ordered, percent, without_constants


def section(analysis: Analysis) -> Iterator[Table]:
    """Yield the table, if any cell looked at what its answers rest on."""
    shown = table(evidence(analysis.records))
    if shown is not None:
        yield shown


def table(means: pd.DataFrame) -> Table | None:
    """Return the means of :func:`bench.reports.metrics.evidence.evidence` as a table; None if there are none."""
    if means.empty:
        return None
    rows = []
    for row in ordered(means):
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"])),
                Cell(str(row["branch"]), str(row["branch"])),
                *(Cell("-" if pd.isna(row[c]) else percent(row[c]), float(row[c])) for c in ("recall", "precision")),
                *(Cell(_cosine(row[c]), float(row[c])) for c in ("right", "wrong")),
                Cell(_cosine(row["right"] - row["wrong"]), float(row["right"] - row["wrong"])),
                Cell(f"{row['asked']:.0f}", float(row["asked"])),
            )
        )
    caption = (
        "Recall: the share of queries with any neighbour of their class among those they are answered from. Precision: "
        "the share of these neighbours that is of the query's class. Then the cosine of the query, as "
        "the method embeds it, to the prototype of its class and, on average, to those of other classes. Means over "
        "seeds, over the same sample of queries for all methods, of the last session."
    )
    head = (
        *("scenario", "data set", "condition", "method", "branch", "recall@k %", "precision@k %"),
        *("to the right prototype", "to wrong ones", "gap", "queries"),
    )
    return without_constants(Table("evidence", "What answers rest on", caption, head, tuple(rows)))


def _cosine(value: float) -> str:
    return "-" if pd.isna(value) else f"{round(value, 3) + 0.0:.3f}"
