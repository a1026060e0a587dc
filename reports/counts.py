"""From records to arrays of counts: cells that have the same number of sessions and classes are stacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import metrics
from reports.columns import gather, lists, ranks
from reports.episodes import independent

Ints = NDArray[np.int64]

_LARGEST = 1 << 22
"""Most counts in one stack; of more cells there are several, so that what is computed from one stays small."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of b cells with s sessions and c classes each.

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
    def matrix(self) -> metrics.Array:
        """Accuracy of each class after each session [b, s, c]."""
        return metrics.ratio(self.correct, self.total)


def stacks(records: pd.DataFrame) -> Iterator[Counts]:
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
    flat = {name: lists(records[name]) for name in ("classes", "class_total", "class_correct")}
    starts = flat["classes"][1]
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

    def stacked(which: Ints, s: int, c: int) -> Iterator[Counts]:
        at_once = max(1, _LARGEST // (s * c))
        for part in (which[i : i + at_once] for i in range(0, len(which), at_once)):
            rows = order[(last[part][:, None] - np.arange(s)[::-1]).ravel()]
            made = _stack({name: (*parts, rows) for name, parts in flat.items()}, names[part].tolist(), s, c)
            if isinstance(made, Counts):
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
    flat: dict[str, tuple[NDArray[np.integer], Ints, Ints]], cells: list[str], s: int, c: int
) -> Counts | NDArray[np.bool_]:
    """Return the counts of some cells with s rows each; or, if some have more than c classes in all, which."""
    classes, row = gather(*flat["classes"])
    cell = row // s
    # A class has the same column in every session of its cell: its rank among the ids of the cell.
    there = np.zeros((len(cells), int(classes.max()) + 1), dtype=bool)
    there[cell, classes] = True
    more = there.sum(1) != c
    if more.any():
        return np.asarray(more)
    column = (there.cumsum(1) - 1)[cell, classes]
    where = row * c + column
    correct, total = (np.zeros(len(cells) * s * c, dtype=np.int32) for _ in range(2))
    correct[where] = gather(*flat["class_correct"])[0]
    total[where] = gather(*flat["class_total"])[0]
    shape = (len(cells), s, c)
    return Counts(cells, np.nonzero(there)[1].reshape(-1, c), correct.reshape(shape), total.reshape(shape))
