"""Evidence for answers: recall and precision of neighbours, similarity to right and wrong prototypes."""

from __future__ import annotations

import json

import pandas as pd

from bench.reports.records.arrow_columns import mentions
from bench.reports.records.keys import GROUP

_KEY = [*GROUP, "method"]
_KINDS = ("recall", "precision", "right", "wrong")


def evidence(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a method and branch, over the last sessions of cells that looked at it; empty if none did."""
    read = records[[*_KEY, "cell", "session", "details", "n_correct", "n_queries"]]
    last = read.sort_values("session", kind="stable").drop_duplicates("cell", keep="last")
    parts = []
    for record in last[mentions(last["details"], '"evidence": {')].to_dict("records"):
        seen = json.loads(record["details"])["evidence"]
        branches = {b for kind in _KINDS for b in seen.get(kind, {})}
        parts += [
            {**{k: record[k] for k in _KEY}, "branch": b, "asked": seen["queries"]}
            | {"accuracy": record["n_correct"] / record["n_queries"]}
            | {kind: seen.get(kind, {}).get(b) for kind in _KINDS}
            for b in sorted(branches)
        ]
    if not parts:
        return pd.DataFrame()
    numbers = ["accuracy", "asked", *_KINDS]
    frame = pd.DataFrame(parts).astype(dict.fromkeys(numbers, "float64"))
    return frame.groupby([*_KEY, "branch"], dropna=False)[numbers].mean().reset_index()
