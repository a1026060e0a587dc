"""Cells that are there twice: in one folder they are refused, in several they must have the same answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.reports.records.arrow_columns import gather, lists
from bench.reports.records.run_info import RunInfo
from bench.results.checks import TWICE
from bench.utils.errors import BenchError

HOME = "home"
"""The column that says which of the folders a record is from, by number."""

_KEY = ["cell", "session"]


def require_single(frame: pd.DataFrame, infos: Sequence[RunInfo]) -> None:
    """Raise :class:`BenchError` if a folder has a session of a cell twice."""
    twice = frame.duplicated([HOME, *_KEY])
    if twice.any():
        row = frame[twice].iloc[0]
        raise BenchError(
            f"the records in {infos[row[HOME]].folder} have {int(twice.sum())} {TWICE} (cell {row['cell']}); remove "
            "the files that do not belong there"
        )


def contradictions(frame: pd.DataFrame, infos: Sequence[RunInfo]) -> Iterator[str]:
    """Yield a line if a cell has other answers in one folder than in another: both of the first, and how many."""
    if len(infos) == 1:
        return
    answered = frame[frame["session"].notna()]
    shared = answered[answered.duplicated(_KEY, keep=False)]
    if not len(shared):
        return
    # A sum that weighs each class by its place differs where the answers do, but for a chance of nothing.
    counts, starts = lists(shared["class_correct"])
    rows = np.arange(len(shared))
    at, sizes = gather(starts, rows)
    owner = np.repeat(rows, sizes)
    weights = np.random.default_rng(0).integers(1, 1 << 40, size=int(sizes.max(initial=0)) or 1)
    within = np.arange(len(at)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    said = np.zeros(len(shared), dtype=np.int64)
    np.add.at(said, owner, counts[at].astype(np.int64) * weights[within])
    shared = shared.assign(said=said)
    differ = shared[shared.groupby(_KEY, observed=True)["said"].transform("nunique") > 1]
    if not len(differ):
        return
    first = differ[(differ["cell"] == differ["cell"].iloc[0]) & (differ["session"] == differ["session"].iloc[0])]
    told = " and ".join(
        f"{int(row['n_correct'])} of {int(row['n_queries'])} right in {infos[row[HOME]].folder}"
        for row in first.to_dict("records")
    )
    count = differ["cell"].nunique()
    yield (
        f"{count} cell{'s have' if count > 1 else ' has'} other answers in one folder than in another; of "
        f"{first['cell'].iloc[0]}, session {int(first['session'].iloc[0])}: {told}; that of the run created last is "
        "shown"
    )
