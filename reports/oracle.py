"""Methods with parameters chosen on the queries: marked, shown last, and compared with no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bench.reports.columns import renamed

if TYPE_CHECKING:
    from bench.reports.answers import Group

WORD = "oracle"
"""The selection that marks them in records."""


def mark(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the records with the word in the name of every method that has the selection."""
    chosen = frame.loc[frame["selection"] == WORD, "method"].unique()
    names = {(str(name), WORD): f"{name}({WORD})" for name in chosen if WORD not in name}
    return renamed(frame, "method", "selection", names) if names else frame


def fair(groups: Iterable[Group], records: pd.DataFrame) -> list[Group]:
    """Return the groups without the answers of such methods; the fair figures are compared among themselves."""
    names = set(records.loc[records["selection"] == WORD, "method"])
    return [replace(group, answers={m: a for m, a in group.answers.items() if m not in names}) for group in groups]
