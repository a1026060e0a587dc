"""Methods that ran without a part of theirs: their names say so, since without it they are other methods."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.records.arrow_columns import plain, renamed
from bench.reports.records.keys import GROUP

IMAGES_ONLY = "images only"
"""What stands behind the name of a method that was built to use texts and had none."""

_PART = "missing_part"


def label_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with :data:`IMAGES_ONLY` in the name of a method where all its cells of a group lack a part.

    A group is a scenario, data set and condition. What counts of a cell is its last session.
    """
    ok = frame["status"] == "ok"
    if not frame.loc[ok, "missing_parts"].notna().any():
        return frame
    keys = [*GROUP, "method"]
    last = plain(frame.loc[ok, [*keys, "cell", "session", "missing_parts"]]).sort_values("session", kind="stable")
    last = last.drop_duplicates("cell", keep="last")
    lacking = last["missing_parts"].notna().groupby([last[key] for key in keys]).all()
    named = pd.MultiIndex.from_frame(plain(frame[keys])).isin(lacking.index[lacking])
    marked = frame.assign(**{_PART: pd.Series(named, index=frame.index).map({True: IMAGES_ONLY, False: ""})})
    names = {
        (name, IMAGES_ONLY): f"{name} ({IMAGES_ONLY})" for name in set(lacking.index[lacking].get_level_values(-1))
    }
    return renamed(marked, "method", _PART, names).drop(columns=_PART)


def missing_warnings(done: pd.DataFrame) -> Iterator[str]:
    """Yield a line a missing part: which methods ran without it, and where."""
    lacking = plain(done.loc[done["missing_parts"].notna(), ["method", "dataset", "missing_parts"]].drop_duplicates())
    for part, rows in lacking.groupby("missing_parts", sort=True):
        methods = ", ".join(sorted(set(rows["method"])))
        where = ", ".join(sorted(set(rows["dataset"])))
        yield f"ran without {part}, so not as published: {methods}, on {where}"
