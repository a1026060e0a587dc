"""The table of what differs between runs."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reports.analysis import Analysis
from bench.reports.records.run_differences import Differences
from bench.reports.tables.table import Cell, Table


def section(analysis: Analysis) -> Iterator[Table]:
    """Yield the table, if any setting of the runs differs."""
    differences, _ = analysis.differences
    if differences:
        yield table(differences)


def table(differences: Differences) -> Table:
    """Return a row a setting and value, with the runs that have it."""
    rows = tuple(
        (Cell(what, what), Cell(value, value), Cell(text := ", ".join(runs), text))
        for what, values in differences.items()
        for value, runs in sorted(values.items())
    )
    caption = (
        "One row a value. Methods are compared only where data set, scenario, condition and seed agree and the queries "
        "are the same by fingerprint; where a method or a data set has several settings, each is shown under a name of "
        "its own."
    )
    return Table("differences", "Differences between runs", caption, ("setting", "value", "runs"), rows)
