"""How many labels of the target classes each method saw; those that saw different numbers are not compared unasked."""

from __future__ import annotations

import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP


def labels_seen(records: pd.DataFrame) -> dict[tuple[str, str, str, str], int]:
    """Return by scenario, data set, condition and method the most labels that a cell had read at its end.

    A method none of whose records counts them is left out.
    """
    if "labels_seen" not in records:
        return {}
    counted = plain(records[[*GROUP, "method", "labels_seen"]].dropna(subset="labels_seen"))
    most = counted.groupby([*GROUP, "method"])["labels_seen"].max()
    keys = most.index.to_frame().astype("str").itertuples(index=False, name=None)
    return dict(zip(keys, most.astype("int64").tolist(), strict=True))
