"""The table of what a sweep changes, and its file of numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, percent, probability, without_constants
from bench.reports.utils.text import condition_text


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield accuracy at both ends of every sweep and its change."""
    swept, _ = analysis.sweep_changes
    shown = table(swept)
    if shown is not None:
        yield shown
        yield DataFile("sweeps", swept)


def table(swept: pd.DataFrame) -> Table | None:
    """Return the changes as a table; None if nothing was swept."""
    if swept.empty:
        return None
    rows = []
    for row in swept.to_dict("records"):
        bounded = not np.isnan(row["low"])
        change = percent(row["change"]) + (f" [{percent(row['low'])}, {percent(row['high'])}]" if bounded else "")
        others = condition_text(row["others"])
        what = f"{row['swept']} {row['least']:g} to {row['largest']:g}" + (f" ({others})" if others else "")
        rows.append(
            (
                *(Cell(str(text), str(text)) for text in (row["scenario"], what, row["dataset"], row["method"])),
                *(Cell(percent(row[end]), float(row[end])) for end in ("first", "last")),
                Cell(change, float(row["change"])),
                Cell(str(row["over"]), str(row["over"])),
                Cell(probability(row["p_holm"]), float(row["p_holm"])),
            )
        )
    caption = (
        "Accuracy at the least and at the largest value of what the scenario varies, of those that all methods were "
        "asked at, and the change in points with its 95 % interval, on the seeds that had the same queries at both: "
        "over seeds and queries where these have predictions, else over what is said, which speaks for these queries "
        "alone. A mean over data sets speaks for these data sets. p: of the same pairs, against the change of the "
        "method that loses least, after Holm's "
        f"correction over all {len(swept)} rows; a dash for that method itself."
    )
    head = (
        "scenario",
        "swept",
        "data set",
        "method",
        "at the least %",
        "at the largest %",
        "change, points",
        "interval over",
        "p (Holm)",
    )
    return without_constants(Table("sweeps", "What a sweep changes", caption, head, tuple(rows)))
