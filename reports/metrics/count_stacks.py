"""From records to arrays of counts: cells that have the same number of sessions and classes are stacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.metrics import incremental
from bench.reports.records.arrow_columns import gather, lists, ranks
from bench.reports.records.few_shot_episodes import independent
from bench.utils.errors import BenchError

Ints = NDArray[np.int64]

_LARGEST = 1 << 18
"""Most counts in one stack; of more cells there are several, so that what is computed from one stays in the cache."""


@dataclass(frozen=True, eq=False)
class CountStack:
    """CountStack of b cells with s sessions and c classes each.

    Attributes
    ----------
    cells : list of str [b]
    classes : int64 array [b, c]
        Class ids of the last session, ascending.
    correct, total : int32 arrays [b, s, c]
        Rightly answered and all queries; 0 of 0 while a class has not arrived.
    """

    cells: list[str]
    classes: Ints
    correct: NDArray[np.int32]
    total: NDArray[np.int32]

    @property
    def n_sessions(self) -> int:
        """Sessions of each cell, s."""
        return int(self.total.shape[1])

    @cached_property
    def matrix(self) -> incremental.Array:
        """Accuracy of each class after each session [b, s, c]."""
        return incremental.ratio(self.correct, self.total)

    @cached_property
    def arrival(self) -> Ints:
        """The session in which each class arrives [b, c]."""
        return incremental.arrival(self.matrix)

    @cached_property
    def accuracy(self) -> incremental.Array:
        """Accuracy over all queries after each session [b, s]."""
        return incremental.overall(self.correct, self.total)

    @cached_property
    def old_accuracy(self) -> incremental.Array:
        """Accuracy over the classes that were there before each session [b, s]."""
        return incremental.of_group(self.correct, self.total, new=False, first=self.arrival)

    @cached_property
    def new_accuracy(self) -> incremental.Array:
        """Accuracy over the classes that arrive in each session [b, s]."""
        return incremental.of_group(self.correct, self.total, new=True, first=self.arrival)

    @cached_property
    def recall(self) -> incremental.Array:
        """Mean per-class recall after each session [b, s]."""
        return incremental.recall(self.matrix)

    @cached_property
    def forgetting(self) -> incremental.Array:
        """Forgetting of each class [b, c]."""
        return incremental.forgetting_per_class(self.matrix)


def stacks(records: pd.DataFrame) -> Iterator[CountStack]:
    """Yield the cells of some records, stacked by shape, in the order of shape and cell.

    A cell whose classes do not only grow is not class-incremental; it is yielded with its last session alone. Cells of
    independent episodes have no matrix of sessions and classes, and are left out.
    """
    apart = records["cell"].isin(independent(records)).to_numpy()
    cell_of_record = ranks(records["cell"])
    order = np.lexsort((records["session"].to_numpy(), cell_of_record))
    order = order[~apart[order]]
    if not len(order):
        return
    (classes, starts), *counted = (lists(records[name]) for name in ("classes", "class_total", "class_correct"))
    if not all(np.array_equal(starts, begins) for _, begins in counted):
        raise BenchError("records have other numbers of classes than of counts, so they are damaged; run again")
    total, correct = (values for values, _ in counted)
    widest_id = int(classes.max(initial=0))
    # Cells are numbered as they lie; each is the rows from its first to its last.
    first = np.append(True, np.diff(cell_of_record[order]) != 0)
    begin = np.flatnonzero(first)
    sessions = np.diff(np.append(begin, len(order)))
    names = records["cell"].iloc[order[begin]].astype("str").to_numpy()
    sizes = starts[order + 1] - starts[order]
    widest = np.maximum.reduceat(sizes, begin)
    shrinks = np.zeros(len(begin), dtype=bool)
    np.logical_or.at(shrinks, (np.cumsum(first) - 1)[1:], ~first[1:] & (np.diff(sizes) < 0))
    last = begin + sessions - 1

    def stacked(which: Ints, s: int, c: int) -> Iterator[CountStack]:
        # A stack marks which ids its cells have, so large ids make it large too.
        at_once = max(1, _LARGEST // max(s * c, widest_id))
        for part in (which[i : i + at_once] for i in range(0, len(which), at_once)):
            rows = order[(last[part][:, None] - np.arange(s)[::-1]).ravel()]
            at, each = gather(starts, rows)
            made = _stack(names[part].tolist(), s, c, each, classes[at], total[at], correct[at])
            if isinstance(made, CountStack):
                yield made
                continue
            # Classes came and went without the number of them falling: only the last session of these has a meaning.
            if not made.all():
                yield from stacked(part[~made], s, c)
            ends = sizes[last[part[made]]]
            for width in np.unique(ends).tolist():
                yield from stacked(part[made][ends == width], 1, width)

    sessions[shrinks], widest[shrinks] = 1, sizes[last][shrinks]
    for s, c in sorted(set(zip(sessions.tolist(), widest.tolist(), strict=True))):
        yield from stacked(np.flatnonzero((sessions == s) & (widest == c)), s, c)


def _stack(
    cells: list[str],
    s: int,
    c: int,
    each: Ints,
    classes: NDArray[np.integer],
    total: NDArray[np.integer],
    correct: NDArray[np.integer],
) -> CountStack | NDArray[np.bool_]:
    """Return the counts of some cells with s rows each; or, if some have more than c classes in all, which.

    ``each`` is how many of the class ids, and of the counts with them, are of each row.
    """
    # A class has the same column in every session of its cell: its rank among the ids of the cell.
    width = int(classes.max()) + 1
    row = np.arange(len(each))
    key = np.repeat(row // s * width, each) + classes
    there = np.zeros((len(cells), width), dtype=bool)
    there.ravel()[key] = True
    more = there.sum(1) != c
    if more.any():
        return np.asarray(more)
    where = np.repeat(row * c, each) + (there.cumsum(1) - 1).ravel()[key]
    dense = np.zeros((2, len(cells) * s * c), dtype=np.int32)
    dense[0, where], dense[1, where] = correct, total
    shape = (len(cells), s, c)
    return CountStack(cells, np.nonzero(there)[1].reshape(-1, c), dense[0].reshape(shape), dense[1].reshape(shape))
