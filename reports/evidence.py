"""The table of what answers rest on: shares of right neighbours, similarity to right and wrong prototypes."""

from __future__ import annotations

import json

import pandas as pd

from bench.reports.columns import mentions
from bench.reports.load import GROUP
from bench.reports.tables import Cell, Table, names_of, ordered, percent, without_constants

_KEY = [*GROUP, "method"]


def table(records: pd.DataFrame) -> Table | None:
    """Return the table over the last sessions of cells that looked at it; None if none did."""
    read = records[[*_KEY, "cell", "session", "details", "n_correct", "n_queries"]]
    last = read.sort_values("session", kind="stable").drop_duplicates("cell", keep="last")
    parts = []
    for record in last[mentions(last["details"], '"evidence": {')].to_dict("records"):
        told = json.loads(record["details"])["evidence"]
        branches = {b for kind in ("retrieval", "right", "wrong") for b in told.get(kind, {})}
        parts += [
            {**{k: record[k] for k in _KEY}, "branch": b, "asked": told["queries"]}
            | {"accuracy": record["n_correct"] / record["n_queries"]}
            | {kind: told.get(kind, {}).get(b) for kind in ("retrieval", "right", "wrong")}
            for b in sorted(branches)
        ]
    if not parts:
        return None
    numbers = ["accuracy", "asked", "retrieval", "right", "wrong"]
    frame = pd.DataFrame(parts).astype(dict.fromkeys(numbers, "float64"))
    means = frame.groupby([*_KEY, "branch"], dropna=False)[numbers].mean().reset_index()
    rows = []
    for row in ordered(means):
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"])),
                Cell(str(row["branch"]), str(row["branch"])),
                Cell("-" if pd.isna(row["retrieval"]) else percent(row["retrieval"]), float(row["retrieval"])),
                *(Cell(_cosine(row[c]), float(row[c])) for c in ("right", "wrong")),
                Cell(_cosine(row["right"] - row["wrong"]), float(row["right"] - row["wrong"])),
                Cell(f"{row['asked']:.0f}", float(row["asked"])),
            )
        )
    caption = (
        "Of the neighbours that a query is answered from, the share that is of its class; the cosine of the query, as "
        "the method embeds it, to the prototype of its class and, on average, to those of other classes. Means over "
        "seeds, over the same sample of queries for all methods, of the last session."
    )
    head = (
        *("scenario", "data set", "condition", "method", "branch", "right neighbours %"),
        *("to the right prototype", "to wrong ones", "gap", "queries"),
    )
    return without_constants(Table("evidence", "What answers rest on", caption, head, tuple(rows)))


def _cosine(value: float) -> str:
    return "-" if pd.isna(value) else f"{round(value, 3) + 0.0:.3f}"
