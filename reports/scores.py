"""What the counts of cells come to: every score that a report shows of them, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports import metrics
from bench.reports.counts import Counts, stacks

INCREMENTAL = [
    *("average_incremental_accuracy", "old_accuracy", "new_accuracy"),
    *("forgetting", "backward_transfer", "learning_accuracy", "forward_transfer"),
]
"""Metrics that need more than one session; null elsewhere. ``forward_transfer`` is null where it is not measured."""

COUNTED = ["accuracy", "mean_class_recall", *INCREMENTAL]
"""Metrics that the records' counts give."""

SESSION = [
    *("accuracy", "old_accuracy", "new_accuracy", "start_accuracy", "later_accuracy"),
    *("mean_class_recall", "n_classes"),
]
"""Metrics after each session, and the number of classes that were asked for. ``start_accuracy`` is over the classes of
session 0 and ``later_accuracy`` over all others; both are null where every session brings classes."""


Columns = Mapping[str, NDArray[Any]]

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all cells of some records, but for those of independent episodes.

    Attributes
    ----------
    last : DataFrame
        One row a cell: ``cell`` and :data:`COUNTED`, after the last session.
    sessions : DataFrame
        One row a cell and session: ``place``, the row of the cell in ``last``, ``session`` and :data:`SESSION`.
    classes : DataFrame
        One row a cell and class of its last session: ``place``, ``class`` and ``forgetting``.
    """

    last: pd.DataFrame
    sessions: pd.DataFrame
    classes: pd.DataFrame


def scores(records: pd.DataFrame) -> Scores:
    """Return the scores of some records."""
    cells: list[str] = []
    last: list[Columns] = [dict.fromkeys(COUNTED, _NOTHING)]
    sessions: list[Columns] = [dict.fromkeys(["place", "session", *SESSION], _NOTHING)]
    classes: list[Columns] = [dict.fromkeys(["place", "class", "forgetting"], _NOTHING)]
    for counts in stacks(records):
        place = np.arange(len(cells), len(cells) + len(counts.cells))
        cells += counts.cells
        for found, table in zip(_of(counts, place), (last, sessions, classes), strict=True):
            table.append(found)
    by_cell = _joined(last)
    by_cell.insert(0, "cell", pd.Series(cells, dtype="str"))
    return Scores(by_cell, _joined(sessions), _joined(classes))


def _of(counts: Counts, place: NDArray[np.int64]) -> tuple[Columns, Columns, Columns]:
    """Return the columns of the three tables for one stack, whose cells have these places."""
    a = counts.matrix
    b, s, c = a.shape
    first = metrics.arrival(a)
    lost = metrics.forgetting_per_class(a)
    accuracy = metrics.overall(counts.correct, counts.total)
    by_session = {
        "accuracy": accuracy,
        "old_accuracy": metrics.of_group(counts.correct, counts.total, new=False, first=first),
        "new_accuracy": metrics.of_group(counts.correct, counts.total, new=True, first=first),
        "mean_class_recall": metrics.recall(a),
        "n_classes": (counts.total > 0).sum(-1),
    }
    stays = ~(np.diff(by_session["n_classes"], axis=1) > 0).all(1)
    for name, start in (("start_accuracy", True), ("later_accuracy", False)):
        by_session[name] = np.full((b, s), np.nan)
        if stays.any():
            of = (counts.correct[stays], counts.total[stays])
            by_session[name][stays] = metrics.of_start(*of, start=start, first=first[stays])
    last = {name: values[:, -1] for name, values in by_session.items() if name in COUNTED}
    if s > 1:
        unmeasured = np.full((b, c), np.nan)
        last |= {
            "average_incremental_accuracy": metrics.average_incremental(accuracy),
            "forgetting": metrics.mean_over_classes(lost),
            "backward_transfer": metrics.backward_transfer(a, first),
            "learning_accuracy": metrics.learning_accuracy(a, first),
            "forward_transfer": metrics.forward_transfer(a, unmeasured, unmeasured, first),
        }
    else:
        last |= dict.fromkeys(INCREMENTAL, np.full(b, np.nan))
    sessions = {"place": np.repeat(place, s), "session": np.tile(np.arange(s), b), **by_session}
    return last, sessions, {"place": np.repeat(place, c), "class": counts.classes, "forgetting": lost}


def _joined(parts: Sequence[Columns]) -> pd.DataFrame:
    """Return the columns of several stacks as one table, laid flat."""
    columns = {name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]}
    return pd.DataFrame(columns, copy=False)
