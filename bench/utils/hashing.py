"""Content hashes: the fingerprints of features, memories, settings and code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

_STRINGS = 1 << 16


def digest(*parts: Any) -> str:
    """Return a 32-digit content hash of tensors, arrays, strings and plain JSON values.

    Shapes and dtypes count; where the values lie (device, memory layout, mapped file) does not.
    """
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        _update(h, part)
    return h.hexdigest()


def _update(h: Any, part: Any) -> None:
    if isinstance(part, torch.Tensor):
        h.update(f"tensor{tuple(part.shape)}{part.dtype}".encode())
        # numpy has no bfloat16, so the bytes are read through a view as unsigned bytes.
        h.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(part, np.ndarray):
        array = part.astype("U") if part.dtype == object else part
        h.update(f"array{array.shape}{array.dtype.kind}".encode())
        if array.dtype.kind == "U":
            # Joined block by block, since ten million strings as Python objects take gigabytes.
            for start in range(0, len(array), _STRINGS):
                h.update(("\x1f" * bool(start) + "\x1f".join(array[start : start + _STRINGS].tolist())).encode())
        else:
            h.update(np.ascontiguousarray(array).data)
    else:
        h.update(json.dumps(part, sort_keys=True, default=str).encode())
    h.update(b"\x1e")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_digest(files: Iterable[Path]) -> str:
    """Return one hash of the text of source files, whatever folder they are installed in."""
    return digest(sorted((path.name, file_digest(path)) for path in set(files)))
