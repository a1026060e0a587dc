"""Features: labelled vectors with stable ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.device.moving import Movable
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

_BLOCK = 1 << 16
"""Rows that are turned to float32 at a time: 128 MiB at d = 512, whatever the number of rows."""
_ZERO = 1e-12
"""The norm below which :func:`bench.functional.classwise.normalise` no longer gives a vector unit norm."""


def as_index(rows: Tensor | np.ndarray | list[int]) -> Tensor:
    """Return positions, int64, for positions or a mask."""
    index = torch.as_tensor(rows)
    return index.nonzero().squeeze(1) if index.dtype == torch.bool else index.long()


def is_whole(rows: Tensor | np.ndarray | list[int]) -> bool:
    """Return whether a mask takes all rows, so that a memory-mapped file need not be copied into memory."""
    mask = torch.as_tensor(rows)
    return mask.dtype == torch.bool and bool(mask.all())


def _digests(x: Tensor) -> np.ndarray:
    """Return the content hash of every row, str [n]."""
    rows = np.ascontiguousarray(x.detach().cpu().float().numpy())
    return np.array([digest(row) for row in rows], dtype="U32")


@dataclass(frozen=True, eq=False)
class Features(Movable):
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

    x: Tensor
    labels: Tensor
    ids: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or len(self.x) != len(self.labels) or len(self.x) != len(self.ids):
            raise BenchError(
                f"features of shape {tuple(self.x.shape)} need as many labels ({len(self.labels)}) "
                f"and ids ({len(self.ids)}) as rows; give one of each for every row"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def dimension(self) -> int:
        """The number of dimensions d."""
        return int(self.x.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of vectors, labels, ids and class names."""
        return digest(self.x, self.labels, self.ids, self.class_names)

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

    def take(self, rows: Tensor | np.ndarray | list[int]) -> Features:
        """Return the given rows (positions or a mask), in the given order."""
        if is_whole(rows):
            return self
        index = as_index(rows)
        at = index.cpu().numpy()
        taken = replace(
            self,
            x=self.x[index.to(self.x.device)],
            labels=self.labels[index.to(self.labels.device)],
            ids=self.ids[at],
        )
        known = vars(self).get("row_digests")
        if known is not None:
            # Where ``cached_property`` looks first: scenarios ask for the digests of ever other parts of the same rows.
            vars(taken)["row_digests"] = known[at]
        return taken

    def emptied(self) -> Features:
        """Return none of the rows: features without rows, on the same device and in the same dtype."""
        return replace(
            self, x=self.x.new_empty(0, self.dimension), labels=self.labels.new_empty(0), ids=np.zeros(0, dtype="U1")
        )

    def of_classes(self, classes: tuple[int, ...] | list[int]) -> Features:
        """Return the rows of the given classes, in their present order."""
        return self.take(
            torch.isin(self.labels, torch.tensor(sorted(classes), dtype=torch.int64, device=self.labels.device))
        )

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

    @staticmethod
    def concat(parts: list[Features]) -> Features:
        """Return the rows of several features of one data set, one after the other.

        Parts without rows give nothing, neither a dtype nor a device; an only part with rows is returned as it is.
        """
        dims = sorted({p.dimension for p in parts})
        if len(dims) > 1:
            raise BenchError(f"cannot join features of {dims} dimensions; encode both with the same encoder")
        full = [part for part in parts if len(part)]
        if len(full) <= 1:
            return full[0] if full else parts[0]
        wide = max((p.x.dtype for p in full), key=lambda t: torch.finfo(t).bits)
        return Features(
            torch.cat([p.x.to(wide) for p in full]),
            torch.cat([p.labels for p in full]),
            np.concatenate([p.ids for p in full]),
            full[0].class_names,
        )
