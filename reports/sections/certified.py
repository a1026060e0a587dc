"""Certified accuracy: the share of right answers that edits of the memory cannot take away."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.certified import certified_accuracy
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, ordered, percent, without_constants
from bench.results.kept_tables import CERTIFICATES, kept

NUMBERS = (0, 1, 2, 4, 8, 16, 32, 64)


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield certified accuracy by number of edits, where `bench certify --keep` has left certificates."""
    found = [kept(info.folder, CERTIFICATES) for info in analysis.run_table.runs]
    tables = [one for one in found if one is not None and len(one)]
    if not tables:
        return
    shares = certified_accuracy(pd.concat(tables, ignore_index=True), NUMBERS)
    yield table(shares)
    yield DataFile("certified", shares.rename(columns={n: f"edits_{n}" for n in NUMBERS}))


def table(shares: pd.DataFrame) -> Table:
    """Return what :func:`bench.reports.metrics.certified.certified_accuracy` returns as a table."""
    rows = []
    # ``ordered`` knows columns by names that are texts.
    named = shares.rename(columns={n: f"edits_{n}" for n in NUMBERS}).assign(accuracy=shares[0])
    for row in ordered(named):
        rows.append(
            (
                *names_of(row),
                *(Cell(str(row[key]), str(row[key])) for key in ("method", "edit")),
                *(Cell(percent(row[f"edits_{n}"]), float(row[f"edits_{n}"])) for n in NUMBERS),
                Cell("yes" if row["exact"] == 1 else percent(row["exact"]) + " %", float(row["exact"])),
            )
        )
    caption = (
        "Certified accuracy %, mean over seeds: the share of queries that are answered rightly whatever so many items "
        "of the memory are removed, relabelled, or inserted (any vector, any label). Exact: of so many answers so many "
        "edits do change the answer; of the others the number is a lower bound, so that the share may be larger. "
        "Encoder and settings stay."
    )
    head = ("scenario", "data set", "condition", "method", "edit", *(f"{n} edits" for n in NUMBERS), "exact")
    return without_constants(
        Table("certified", "What edits of the memory cannot take away", caption, head, tuple(rows))
    )
