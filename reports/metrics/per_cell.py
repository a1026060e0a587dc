"""Metrics of cells, sessions and classes from the counts in the records, computed once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.metrics import incremental
from bench.reports.metrics.count_stacks import CountStack, stacks
from bench.reports.metrics.definitions import METRICS
from bench.utils.threads import cores

SESSION = [
    *("accuracy", "old_accuracy", "new_accuracy", "start_accuracy", "later_accuracy"),
    *("mean_class_recall", "n_classes"),
]
"""Metrics after each session, and the number of classes that were asked for. ``start_accuracy`` is over the classes of
session 0 and ``later_accuracy`` over all others; both are null where every session brings classes."""


Columns = Mapping[str, NDArray[Any]]

T = TypeVar("T")

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all cells of some records, but for those of independent episodes.

    Attributes
    ----------
    last : DataFrame
        One row a cell: ``cell`` and :func:`counted_metrics`, after the last session.
    sessions : DataFrame
        One row a cell and session: ``place``, the row of the cell in ``last``, ``session`` and :data:`SESSION`.
    classes : DataFrame
        One row a cell and class of its last session: ``place``, ``class`` and ``forgetting``.
    """

    last: pd.DataFrame
    sessions: pd.DataFrame
    classes: pd.DataFrame


def counted_metrics() -> list[str]:
    """Return the names of the metrics that the records' counts give."""
    return [metric.name for metric in METRICS if metric.of_counts is not None]


def scores(records: pd.DataFrame) -> Scores:
    """Return the scores of some records."""
    cells: list[str] = []
    last: list[Columns] = [dict.fromkeys(counted_metrics(), _NOTHING)]
    sessions: list[Columns] = [dict.fromkeys(["place", "session", *SESSION], _NOTHING)]
    classes: list[Columns] = [dict.fromkeys(["place", "class", "forgetting"], _NOTHING)]

    def placed() -> Iterator[tuple[CountStack, NDArray[np.int64]]]:
        for stack in stacks(records):
            yield stack, np.arange(len(cells), len(cells) + len(stack.cells))
            cells.extend(stack.cells)

    for found in _ahead(_columns, placed()):
        for columns, table in zip(found, (last, sessions, classes), strict=True):
            table.append(columns)
    by_cell = _joined(last)
    by_cell.insert(0, "cell", pd.Series(cells, dtype="str"))
    return Scores(by_cell, _joined(sessions), _joined(classes))


def _ahead(compute: Callable[..., T], items: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """Yield what a function gives for each of some items, in their order, computed by as many threads as processors.

    numpy computes on large arrays beside other threads. Few items wait, since each is large; no thread is left.
    """
    threads = cores()
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(compute, *item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _columns(stack: CountStack, place: NDArray[np.int64]) -> tuple[Columns, Columns, Columns]:
    """Return the columns of the three tables for one stack, whose cells have these places."""
    b, s, c = stack.total.shape
    by_session = {
        "accuracy": stack.accuracy,
        "old_accuracy": stack.old_accuracy,
        "new_accuracy": stack.new_accuracy,
        "mean_class_recall": stack.recall,
        "n_classes": (stack.total > 0).sum(-1),
    }
    stays = ~(np.diff(by_session["n_classes"], axis=1) > 0).all(1)
    for name, start in (("start_accuracy", True), ("later_accuracy", False)):
        by_session[name] = np.full((b, s), np.nan)
        if stays.any():
            counts = (stack.correct[stays], stack.total[stays])
            by_session[name][stays] = incremental.of_start(*counts, start=start, first=stack.arrival[stays])
    last = {metric.name: metric.from_counts(stack) for metric in METRICS if metric.of_counts is not None}
    sessions = {"place": np.repeat(place, s), "session": np.tile(np.arange(s), b), **by_session}
    return last, sessions, {"place": np.repeat(place, c), "class": stack.classes, "forgetting": stack.forgetting}


def _joined(parts: Sequence[Columns]) -> pd.DataFrame:
    """Return the columns of several stacks as one table, laid flat."""
    columns = {name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]}
    return pd.DataFrame(columns, copy=False)
