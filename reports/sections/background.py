"""Tables about the runs themselves, at the end of the page: methods, runs, provenance."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.records.adaptations import adaptations
from bench.reports.records.run_table import RunTable
from bench.reports.tables.table import Cell, Table


def background(analysis: Analysis) -> list[Table]:
    """Return what was run, in which runs, and where the numbers come from."""
    return [_methods(analysis.records), _runs(analysis.run_table), _provenance(analysis.records)]


def _methods(records: pd.DataFrame) -> Table:
    """Return what was run: each method's parameters, fidelity with what is adapted, and selection."""
    columns = ["method", "fidelity", "method_name", "selection", "sees", "method_params"]
    rows = records[columns].drop_duplicates().sort_values(columns)
    changes = adaptations()
    cells = []
    for method, fidelity, name, *others in (map(_said, row) for row in rows.itertuples(index=False, name=None)):
        reason = changes.get(name, "") if fidelity == "adapted" else ""
        cells.append(tuple(Cell(text, text) for text in (method, fidelity, reason, *others)))
    caption = (
        "Faithful methods follow their papers; of adapted ones it says what they change, as this version has it. "
        "Selection is where hyperparameters were chosen; oracle means on the queries, which is no fair figure. A "
        "method sees each query alone, the stream of those before it too, or the set of all."
    )
    head = ("method", "fidelity", "what is adapted", "selection", "sees", "parameters")
    return Table("methods", "Methods", caption, head, tuple(cells))


def _said(value: Any) -> str:
    """Return a value as text; a dash for what older records do not say."""
    return "-" if pd.isna(value) else str(value)


def _runs(run_table: RunTable) -> Table:
    """Return the runs the report was made from."""
    rows = []
    for info in run_table.runs:
        manifest = info.manifest
        seeds = ", ".join(str(s) for s in manifest.get("seeds", []))
        done = f"{info.finished} of {info.planned}"
        texts = (manifest["run"], manifest.get("created", "-"), done, seeds or "-", manifest.get("device", "-"))
        rows.append(tuple(Cell(str(text), str(text)) for text in texts))
    head = ("run", "created", "cells finished", "seeds", "device")
    return Table("runs", "Runs", "The same settings and code give the same run.", head, tuple(rows))


def _provenance(records: pd.DataFrame) -> Table:
    """Return where the numbers come from: every distinct value of every entry of the records' provenance."""
    values: dict[str, set[str]] = {}
    for text in sorted(records["provenance"].dropna().unique()):
        for key, value in _flat(json.loads(text)):
            values.setdefault(key, set()).add(value)
    for column in ("dataset", "features_fingerprint", "encoder"):
        values[column] = set(records[column].dropna().unique().tolist())
    rows = [(Cell(key, key), Cell(text := "; ".join(sorted(values[key])), text)) for key in sorted(values)]
    caption = "Several values are separated by semicolons."
    return Table("provenance", "Provenance", caption, ("entry", "value"), tuple(rows))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested entries as dotted names and texts."""
    out: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append((f"{prefix}{key}", " ".join(map(_word, value)) if isinstance(value, list) else _word(value)))
    return out


def _word(value: Any) -> str:
    """Return one value of the provenance as a reader's word: no name of a value of Python."""
    return "-" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
