"""What a classifier is asked about: features, images and files of either, as features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.arrays import check_numbers, read_arrays
from bench.utils.errors import BenchError
from bench.utils.names import shown

ARRAYS = (".npy", ".npz", ".safetensors")
"""Endings of files that hold features."""
_ZERO = 1e-12


def as_features(x: Any, dimension: int | None, what: str = "features") -> Tensor:
    """Return features as float32 Tensor [n, d], on the CPU.

    Raises
    ------
    BenchError
        If they are no table of finite numbers with ``dimension`` columns, or a row is a zero vector.
    """
    if isinstance(x, Tensor):
        found = x.detach().cpu()
    else:
        array = np.asarray(x)
        check_numbers(array, what)
        # Of types that torch lacks (other byte orders, 128 bits) as well; what is too large is refused by its row.
        with np.errstate(over="ignore"):
            found = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if found.ndim != 2:
        raise BenchError(f"{what} of shape {tuple(found.shape)} are no table; give [n, d], one row an image")
    if dimension is not None and found.shape[1] != dimension:
        raise BenchError(
            f"{what} have d = {found.shape[1]} and the classifier was fitted at d = {dimension}; use the encoder that "
            "it was fitted with"
        )
    found = found.float()
    norm = found.norm(dim=1)
    bad = (~torch.isfinite(norm) | (norm < _ZERO)).nonzero()
    if len(bad):
        raise BenchError(f"{what}: row {int(bad[0])} holds a NaN, an infinite value or a zero vector; leave it out")
    return found


def is_features(x: Any) -> bool:
    """Return whether an input is an array or a tensor, or rows of numbers."""
    if isinstance(x, (np.ndarray, Tensor)):
        return True
    return isinstance(x, (list, tuple)) and len(x) > 0 and not _is_image(x[0])


def _is_image(one: Any) -> bool:
    return isinstance(one, (str, Path, bytes, Image.Image))


def images(x: Any) -> list[Any]:
    """Return an image or several as a list."""
    several = [x] if _is_image(x) else list(x)
    for one in several:
        if not _is_image(one):
            raise BenchError(f"a {type(one).__name__} is no image; give paths, bytes or PIL images, or features [n, d]")
    return several


def read_features(path: Path, dimension: int) -> tuple[list[str], Tensor]:
    """Return names and features of the rows of a file of arrays: its array ``x`` or ``features``, or its only one."""
    found = read_arrays([path])
    name = next((key for key in ("x", "features") if key in found), "")
    if not name and len(found) != 1:
        raise BenchError(f"{path} holds the arrays {', '.join(map(shown, found))}; call the features x")
    x = as_features(found[name] if name else next(iter(found.values())), dimension, str(path))
    return [f"{path}[{row}]" for row in range(len(x))], x
