"""Labelled vectors with stable ids: what features and memory items have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from bench.device.moving import Movable
from bench.utils.errors import BenchError
from bench.utils.hashing import digest


def as_index(rows: Tensor | np.ndarray | list[int]) -> Tensor:
    """Return positions, int64, for positions or a mask."""
    index = torch.as_tensor(rows)
    return index.nonzero().squeeze(1) if index.dtype == torch.bool else index.long()


def is_whole(rows: Tensor | np.ndarray | list[int]) -> bool:
    """Return whether a mask takes all rows, so that a memory-mapped file need not be copied into memory."""
    mask = torch.as_tensor(rows)
    return mask.dtype == torch.bool and bool(mask.all())


@dataclass(frozen=True, eq=False)
class Rows(Movable):
    """Vectors with a label and an id each.

    Attributes
    ----------
    x : Tensor [n, d]
        Floating point, in the dtype in which it is stored; may be a memory-mapped file.
    labels : int64 Tensor [n]
        Class ids; they need be neither dense nor sorted.
    ids : str array [n]
        A stable name for each row.
    """

    x: Tensor
    labels: Tensor
    ids: np.ndarray

    words: ClassVar[str] = "rows"
    """What messages call them."""
    columns: ClassVar[tuple[str, ...]] = ("ids",)
    """The fields that hold an array with an entry for each row."""

    def sealed(self, opened: Callable[[Self], object]) -> Self:
        """Return the rows with labels that call ``opened(rows)`` when they are first read.

        What is made of them (some of the rows, the rows on a device) is made of labels that were read.
        """
        rows = replace(self)
        vars(rows)["_seal"] = (vars(rows).pop("labels"), opened)
        return rows

    def __getattr__(self, name: str) -> Any:
        """Return the labels of sealed rows; Python asks here for what an object does not have."""
        if name != "labels" or "_seal" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        labels, opened = vars(self).pop("_seal")
        vars(self)["labels"] = labels
        opened(self)
        return labels

    @property
    def is_sealed(self) -> bool:
        """Whether the labels are sealed and nobody has read them."""
        return "_seal" in vars(self)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def dimension(self) -> int:
        """The number of dimensions d."""
        return int(self.x.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of all fields that are content, in their order."""
        return digest(*(getattr(self, part.name) for part in fields(self) if part.compare))

    def places_of(self, ids: np.ndarray) -> Tensor:
        """Return the position of the row of each id, int64 [n], on the device of the rows; -1 where there is none."""
        order = np.argsort(self.ids, kind="stable")
        if not len(order):
            return torch.full((len(ids),), -1, dtype=torch.int64, device=self.labels.device)
        at = order[np.searchsorted(self.ids, ids, sorter=order).clip(max=len(order) - 1)]
        return torch.from_numpy(np.where(self.ids[at] == ids, at, -1)).to(self.labels.device)

    def take(self, rows: Tensor | np.ndarray | list[int]) -> Self:
        """Return the given rows (positions or a mask), in the given order."""
        if is_whole(rows):
            return self
        index = as_index(rows)
        at = index.cpu().numpy()
        columns: dict[str, Any] = {name: getattr(self, name)[at] for name in self.columns}
        return replace(
            self, x=self.x[index.to(self.x.device)], labels=self.labels[index.to(self.labels.device)], **columns
        )

    def emptied(self) -> Self:
        """Return none of the rows: no entry, on the same device and in the same dtype."""
        columns: dict[str, Any] = {name: np.zeros(0, dtype="U1") for name in self.columns}
        return replace(self, x=self.x.new_empty(0, self.dimension), labels=self.labels.new_empty(0), **columns)

    def of_classes(self, classes: Collection[int]) -> Self:
        """Return the rows of the given classes, in their present order."""
        wanted = torch.tensor(sorted(classes), dtype=torch.int64, device=self.labels.device)
        return self.take(torch.isin(self.labels, wanted))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several of a kind, one after the other; what they share is that of the first.

        Parts without rows give nothing, neither a dtype nor a device; an only part with rows is returned as it is.

        Raises
        ------
        BenchError
            If their dimensions differ.
        """
        full = [part for part in parts if len(part)]
        if len(full) <= 1:
            return full[0] if full else parts[0]
        dims = sorted({part.dimension for part in full})
        if len(dims) > 1:
            raise BenchError(f"cannot join {cls.words} of {dims} dimensions; encode both with the same encoder")
        wide = max((part.x.dtype for part in full), key=lambda t: torch.finfo(t).bits)
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in full]) for name in cls.columns}
        return replace(
            full[0],
            x=torch.cat([part.x.to(wide) for part in full]),
            labels=torch.cat([part.labels for part in full]),
            **columns,
        )
