"""Features: labelled vectors with stable ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from bench.core.rows import Rows, as_index
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

_BLOCK = 1 << 16
"""Rows that are turned to float32 at a time: 128 MiB at d = 512, whatever the number of rows."""
_ZERO = 1e-12
"""The norm below which :func:`bench.functional.classwise.normalise` no longer gives a vector unit norm."""


def _digests(x: Tensor) -> np.ndarray:
    """Return the content hash of every row, str [n]."""
    rows = np.ascontiguousarray(x.detach().cpu().float().numpy())
    return np.array([digest(row) for row in rows], dtype="U32")


@dataclass(frozen=True, eq=False)
class Features(Rows):
    """Vectors of one encoder with their labels.

    Attributes
    ----------
    x : Tensor [n, d]
        Floating point, in the dtype in which it is stored; may be a memory-mapped file.
    labels : int64 Tensor [n]
        Class ids; they index ``class_names`` and need be neither dense nor sorted.
    ids : str array [n]
        A stable name for each row, unique within a data set.
    class_names : tuple of str
        The name of every class of the data set; position is class id.
    """

    stored_as: ClassVar = "exemplars"

    class_names: tuple[str, ...]

    words = "features"

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or len(self.x) != len(self.labels) or len(self.x) != len(self.ids):
            raise BenchError(
                f"features of shape {tuple(self.x.shape)} need as many labels ({len(self.labels)}) "
                f"and ids ({len(self.ids)}) as rows; give one of each for every row"
            )

    @cached_property
    def row_digests(self) -> np.ndarray:
        """Content hash of every vector, str [n]; equal vectors have equal hashes."""
        return np.concatenate([np.zeros(0, dtype="U32"), *(_digests(block) for block in self.x.split(_BLOCK))])

    def digest_blocks(self) -> Iterator[np.ndarray]:
        """Yield :attr:`row_digests` in blocks, kept for features of one block and made again for large ones."""
        if len(self) <= _BLOCK:
            yield self.row_digests
        else:
            yield from map(_digests, self.x.split(_BLOCK))

    def take(self, rows: Tensor | np.ndarray | list[int]) -> Self:
        """Return the given rows (positions or a mask), in the given order."""
        taken = super().take(rows)
        known = vars(self).get("row_digests")
        if known is not None and taken is not self:
            # Where ``cached_property`` looks first: scenarios ask for the digests of ever other parts of the same rows.
            vars(taken)["row_digests"] = known[as_index(rows).cpu().numpy()]
        return taken

    def check(self, what: str) -> None:
        """Raise :class:`BenchError` for NaN, infinite or zero vectors and labels without a class name.

        One shorter than 1e-12 counts as zero: it could not be given unit norm.
        """
        if len(self) == 0:
            return
        for start in range(0, len(self), _BLOCK):
            norm = self.x[start : start + _BLOCK].float().norm(dim=1)
            bad = (~torch.isfinite(norm) | (norm < _ZERO)).nonzero()
            if len(bad):
                row = start + int(bad[0])
                kind = "zero vector" if norm[int(bad[0])] < _ZERO else "NaN or infinite value"
                raise BenchError(f"{what}: row {row} ({self.ids[row]}) holds a {kind}; remove it or encode it again")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise BenchError(
                f"{what}: labels run from {low} to {high} but there are {len(self.class_names)} class names; "
                "give a name for every label"
            )

    @staticmethod
    def empty(dimension: int, class_names: tuple[str, ...]) -> Features:
        """Return features without rows on the CPU; beside features that are there, :meth:`emptied` fits them."""
        return Features(
            torch.zeros(0, dimension), torch.zeros(0, dtype=torch.int64), np.zeros(0, dtype="U1"), class_names
        )
