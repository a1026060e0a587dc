"""Private copies of tensors: what one user writes into its copy no other sees, and whether it has written is known."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from bench.device.moving import Mover

_SMALL = 32 << 20
"""Bytes up to which a tensor is simply copied. The pages of a larger one are shared until somebody writes to them."""
_BLOCK = 64 << 20
"""Bytes that are compared at a time."""

_files: Any = WeakTensorKeyDictionary()
"""The file in memory that holds what a large tensor holds, by the tensor."""
_copies: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}
"""Each copy with its version when it was made and its original, by the copy's identity."""


def private(original: Tensor) -> Tensor:
    """Return a tensor of the same values that can be written to without a trace in the original.

    A large one on the CPU is a copy-on-write map: of the file that the original is a map of, or of a file in memory
    that is written once an original. So a memory of many users takes its bytes once, or twice. On a GPU it is a copy.
    """
    small = original.device.type != "cpu" or original.nbytes <= _SMALL
    copy = (original.clone() if small else _mapped(original)).detach()
    place = id(copy)
    _copies[place] = (weakref.ref(copy, lambda _: _copies.pop(place, None)), copy._version, original)
    return copy


def original_of(tensor: Tensor) -> Tensor:
    """Return what a tensor is an unchanged private copy of; itself if it is none."""
    known = _copies.get(id(tensor))
    if known is None:
        return tensor
    copy, version, original = known
    return original if copy() is tensor and tensor._version == version else tensor


def written(copy: Tensor, original: Tensor) -> bool:
    """Return whether a private copy holds other bytes than its original, by whatever road they came there."""
    if copy.shape != original.shape or copy.dtype != original.dtype:
        return True
    if not copy.numel():
        return False
    # Bits, so that a NaN equals itself.
    ours, theirs = (t.contiguous().view(-1).view(torch.uint8) for t in (copy.detach(), original.detach()))
    return not all(torch.equal(a, b) for a, b in zip(ours.split(_BLOCK), theirs.split(_BLOCK), strict=True))


def _mapped(original: Tensor) -> Tensor:
    """Return a copy-on-write map of what a large tensor on the CPU holds."""
    known: _Stored | None = _files.get(original)
    if known is None:
        known = _files[original] = _Stored.of(original)
    return known.map(original)


@dataclass(frozen=True)
class _Stored:
    """An open file with a tensor's values from an offset on."""

    file: int
    offset: int
    owner: object

    @staticmethod
    def of(original: Tensor) -> _Stored:
        """Return the values in the file that they are mapped from, or in a new file in memory."""
        at = _file_of(original)
        if at is not None:
            file = os.open(at[0], os.O_RDONLY)
            found = _Stored(file, at[1], _Closing(file))
            # Pages of the original that were written to since it was mapped are not in the file.
            if not written(found.map(original), original):
                return found
        file = os.memfd_create("private") if hasattr(os, "memfd_create") else _temporary()
        with os.fdopen(os.dup(file), "wb") as stream:
            stream.write(original.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
        return _Stored(file, 0, _Closing(file))

    def map(self, original: Tensor) -> Tensor:
        """Return the values as a map that is written to in private."""
        with os.fdopen(os.dup(self.file), "rb") as stream:
            values = np.memmap(stream, np.uint8, "c", self.offset, (original.nbytes,))
        return torch.from_numpy(values).view(original.dtype).view(original.shape)


class _Closing:
    """Closes a file when its last user is gone."""

    def __init__(self, file: int) -> None:
        weakref.finalize(self, os.close, file)


def _temporary() -> int:
    import tempfile

    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())


def _file_of(original: Tensor) -> tuple[str, int] | None:
    """Return the file a contiguous tensor is a map of, and where it begins there; None if it is none or not known."""
    start, end = original.data_ptr(), original.data_ptr() + original.nbytes
    if not original.is_contiguous() or not os.path.exists("/proc/self/maps"):
        return None
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            parts = line.split(maxsplit=5)
            low, high = (int(part, 16) for part in parts[0].split("-"))
            if low <= start < end <= high:
                path = parts[5].strip() if len(parts) == 6 else ""
                offset = int(parts[2], 16) + start - low
                return (path, offset) if int(parts[4]) and os.path.isfile(path) else None
    return None


class PrivateCopier(Mover):
    """Makes private copies of parts, the same copy each time it is asked for the same one.

    Attributes
    ----------
    pairs : list of (Tensor, Tensor)
        Each copy with its original.
    """

    def __init__(self) -> None:
        super().__init__("cpu")
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def _move(self, part: Any) -> Any:
        if isinstance(part, Tensor):
            copy = private(part)
            self.pairs.append((copy, part))
            return copy
        return super()._move(part)
