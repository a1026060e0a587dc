"""Rows that are made of stored ones when they are asked for, where all of them would be large."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_WHOLE = 1 << 25
"""Numbers up to which all rows are made at once: 128 MiB of float32, 65,536 rows at d = 512."""
_BLOCK = 1 << 22
"""Numbers of the rows that are made at a time where they are gone through: 16 MiB of float32."""


class MadeRows:
    """Rows [n, d] as a function makes them of stored ones, which may be memory-mapped; none is kept.

    Parameters
    ----------
    x : Tensor [m, d]
        As they are stored.
    make : callable
        What is made of some of them, row by row: those of a part are the same as those of all.
    rows : int64 Tensor [n], optional
        Which of the stored rows these are; all unless given.
    """

    def __init__(self, x: Tensor, make: Callable[[Tensor], Tensor], rows: Tensor | None = None) -> None:
        self._x, self._make, self._rows = x, make, rows

    def __len__(self) -> int:
        return len(self._x if self._rows is None else self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows there are, and of how many numbers."""
        return len(self), int(self._x.shape[1])

    @property
    def device(self) -> torch.device:
        """Where they are made."""
        return self._x.device

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return some of the rows, made."""
        return self._make(self._x[rows] if self._rows is None else self._x[self._rows[rows]])

    def only(self, rows: Tensor) -> MadeRows:
        """Return those at the given positions or under a mask, still to be made."""
        at = rows.nonzero().squeeze(1) if rows.dtype == torch.bool else rows
        return MadeRows(self._x, self._make, at if self._rows is None else self._rows[at])


ManyRows = Tensor | MadeRows
"""Rows [n, d] of which some are asked for by their positions: made already, or then."""


def are_many(numbers: int) -> bool:
    """Return whether so many numbers are too many to be held beside what they are made of."""
    return numbers > _WHOLE


def made_rows(x: Tensor, make: Callable[[Tensor], Tensor]) -> ManyRows:
    """Return what is made of stored rows [n, d]: at once up to 2^25 numbers, and of more when they are asked for."""
    return MadeRows(x, make) if are_many(x.numel()) else make(x)


def only(rows: ManyRows, at: Tensor) -> ManyRows:
    """Return the rows at the given positions or under a mask."""
    return rows.only(at) if isinstance(rows, MadeRows) else rows[at]


def taken(rows: ManyRows, at: Tensor) -> Tensor:
    """Return the rows [b, d] at positions, int64 [b]; of a tensor by the quickest operation."""
    return rows.index_select(0, at) if isinstance(rows, Tensor) else rows[at]


def blocks_of(rows: ManyRows, width: int = 0) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows in their order, so many at a time that they, and ``width`` numbers a row, stay within 16 MiB."""
    step = max(1, _BLOCK // max(1, rows.shape[1], width))
    for start in range(0, len(rows), step):
        here = slice(start, min(len(rows), start + step))
        yield here, rows[here]
