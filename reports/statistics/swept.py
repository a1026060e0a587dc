"""What a scenario varies while all else stays the same: the lines of accuracy against it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd


def swept(part: pd.DataFrame) -> Iterator[tuple[str, int, str, list[str], pd.DataFrame]]:
    """Yield every line of one scenario and data set.

    Parameters
    ----------
    part : DataFrame
        Rows of :func:`bench.reports.statistics.aggregate.over_seeds` of one scenario and data set.

    Yields
    ------
    key : str
        What is varied.
    number : int
        Tells the lines of one key apart.
    others : str
        The rest of the condition, as JSON.
    words : list of str
        Values of the key that are no numbers, each with it.
    data : DataFrame
        ``method``, the key, ``accuracy`` with its bounds and ``seeds``, sorted by method and value.
    """
    settings = [json.loads(c) for c in part["condition"]]
    for key in sorted({key for one in settings for key in one}):
        values = [one.get(key) for one in settings]
        words = sorted({f"{key} {v}" for v in values if isinstance(v, str)})
        others = [json.dumps({k: v for k, v in one.items() if k != key}) for one in settings]
        rows = part.assign(value=[float(v) if _is_number(v) else np.nan for v in values], others=others)
        for number, (rest, line) in enumerate(rows.dropna(subset="value").groupby("others", sort=True)):
            if line["value"].nunique() < 2:
                continue
            data = line[["method", "value", "accuracy", "accuracy_low", "accuracy_high", "seeds"]]
            yield key, number, str(rest), words, data.sort_values(["method", "value"]).rename(columns={"value": key})


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
