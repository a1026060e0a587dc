"""Methods with parameters chosen on the queries: marked, shown last, and compared with no other."""

from __future__ import annotations

import pandas as pd

from bench.reports.records.arrow_columns import renamed

ORACLE = "oracle"
"""The selection that marks them in records."""


def mark(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with the word in the name of every method that has the selection."""
    chosen = frame.loc[frame["selection"] == ORACLE, "method"].unique()
    names = {(str(name), ORACLE): f"{name}({ORACLE})" for name in chosen if ORACLE not in name}
    return renamed(frame, "method", "selection", names) if names else frame
