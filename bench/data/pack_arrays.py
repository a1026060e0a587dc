"""What the arrays of a pack's file must be, whoever wrote it and whatever its hash says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 16
_WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def array_fault(arrays: Mapping[str, Tensor]) -> str | None:
    """Return what is wrong with the arrays of a split or of texts; None if nothing is.

    ``x`` is [n, d] of a floating-point type, ``labels`` whole numbers [n]; ``ids`` and ``sources`` are uint8 [n, w],
    no id is empty and no two are equal; ``content`` is uint8 [n, 32] and ``perceptual`` uint8 [n, 8].
    """
    for name in ("x", "labels"):
        if name not in arrays:
            return f"there is no array {name!r}"
    x, labels = arrays["x"], arrays["labels"]
    if x.ndim != 2 or not x.dtype.is_floating_point:
        return f"x has shape {tuple(x.shape)} and type {_word(x)}; it must be floating point [n, d]"
    if labels.shape != (len(x),) or labels.dtype not in _WHOLE:
        found = f"labels have shape {tuple(labels.shape)} and type {_word(labels)}"
        return f"{found}; they must be whole numbers [{len(x)}]"
    for name, width in (("ids", None), ("sources", None), ("content", 32), ("perceptual", 8)):
        array = arrays.get(name)
        if array is None:
            continue
        fits = array.ndim == 2 and len(array) == len(x) and array.shape[1] == (width or max(1, array.shape[1]))
        if not fits or array.dtype != torch.uint8:
            shape = f"[{len(x)}, {width or 'w'}]"
            return f"{name} have shape {tuple(array.shape)} and type {_word(array)}; they must be uint8 {shape}"
    if "ids" in arrays and len(bare := np.flatnonzero(~arrays["ids"].numpy().any(axis=1))):
        return f"row {bare[0]} has an empty id"
    if "ids" in arrays and (twin := _repeated(arrays["ids"].numpy())) is not None:
        return f"rows {twin[0]} and {twin[1]} have one id"
    return None


def _word(array: Tensor) -> str:
    return str(array.dtype).removeprefix("torch.")


def _repeated(rows: np.ndarray) -> tuple[int, int] | None:
    """Return two equal rows of uint8 [n, w], or None.

    Rows are compared by a 64-bit sum first, so that a million names are not held as objects; equal sums are looked at.
    """
    generator = np.random.Generator(np.random.Philox(0))
    weights = generator.integers(1, 1 << 63, size=rows.shape[1], dtype=np.uint64) | np.uint64(1)
    sums = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _BLOCK):
        sums[start : start + _BLOCK] = rows[start : start + _BLOCK].astype(np.uint64) @ weights
    order = np.argsort(sums, kind="stable")
    near = np.flatnonzero(sums[order][1:] == sums[order][:-1])
    for at in near.tolist():
        first, second = int(order[at]), int(order[at + 1])
        if np.array_equal(rows[first], rows[second]):
            return first, second
    return None
