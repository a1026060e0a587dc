"""Cells whose predictions are not those that their records counted: they are left out, and said."""

from __future__ import annotations

from dataclasses import replace

from bench.reports.records.run_table import RunTable
from bench.results.checks import DisagreementError
from bench.utils.errors import BenchError


def without_disagreeing(table: RunTable) -> RunTable:
    """Return the runs without cells whose records and predictions disagree, with a warning for each of them.

    Raises
    ------
    BenchError
        If no other cell is left.
    """
    faults: dict[str, str] = {}
    for cell in table.records["cell"].astype("str").unique().tolist():
        try:
            table.predictions([cell])
        except DisagreementError as fault:
            faults[cell] = str(fault)
    there = ~table.records["cell"].astype("str").isin(list(faults))
    if not there.any():
        raise BenchError(next(iter(faults.values())))
    lines = [f"{line}; until then the cell is in no number here" for line in faults.values()]
    return replace(table, records=table.records[there].reset_index(drop=True), warnings=(*table.warnings, *lines))
