"""Names that keep results of different runs apart: labels of methods and data sets, and which of equal cells counts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from bench.reports.records.arrow_columns import plain, renamed
from bench.reports.records.scenario_settings import TOLD

RESULT = [
    *("scenario", TOLD, "dataset", "features_fingerprint", "condition"),
    *("method", "method_params", "seed"),
]
"""What makes two cells of different runs the same result."""


def join_experiments(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with all experiments that asked for a result in ``experiment``, separated by spaces."""
    asked = frame[[*RESULT, "experiment"]].dropna(subset="experiment").drop_duplicates()
    if not asked.duplicated(RESULT).any():
        return frame
    joined = asked.sort_values("experiment").groupby(RESULT)["experiment"].agg(" ".join).reset_index()
    return frame.drop(columns="experiment").merge(joined, on=RESULT, how="left")


def newest(frame: pd.DataFrame, folders: int) -> tuple[pd.DataFrame, int]:
    """Return the frame with each result once, from the run created last, and how many cells were dropped."""
    if folders == 1:
        # A folder has each result once; looking for repetitions is for several.
        return frame, 0
    what = [*RESULT, "session"]
    order = [*what, "created", "run"]
    frame = frame.sort_values(order, kind="stable", ignore_index=True)
    kept = frame.drop_duplicates(what, keep="last")
    same = frame.drop_duplicates([*what, "cell"])
    return kept, int(same["cell"].nunique() - kept["cell"].nunique())


def label_settings(frame: pd.DataFrame, label: str, params: str, within: Sequence[str]) -> pd.DataFrame:
    """Add to a label the parameters that tell apart two things which have it in common and would be compared."""
    changed = {}
    kinds = frame.groupby([label, *within])[params].nunique()
    meeting = set(kinds.index.get_level_values(0)[kinds > 1])
    for name, values in frame.groupby(label, sort=True)[params].unique().items():
        if name not in meeting:
            continue
        parsed = {value: json.loads(value) for value in sorted(values)}
        keys = sorted({key for settings in parsed.values() for key in settings})
        differ = [k for k in keys if len({json.dumps(settings.get(k)) for settings in parsed.values()}) > 1]
        for value, settings in parsed.items():
            changed[str(name), value] = f"{name}:{','.join(f'{k}={settings.get(k)}' for k in differ)}"
    if not changed:
        return frame
    return renamed(frame, label, params, changed)


def label_datasets(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the head of the fingerprint to the name of data sets that share a name but not their content."""
    kinds = frame.groupby("dataset")["features_fingerprint"].nunique()
    shared = set(kinds.index[kinds > 1])
    if not shared:
        return frame
    pairs = plain(frame[["dataset", "features_fingerprint"]].drop_duplicates())
    names = {(d, f): f"{d}@{f[:6]}" for d, f in pairs.itertuples(index=False, name=None) if d in shared}
    return renamed(frame, "dataset", "features_fingerprint", names)
