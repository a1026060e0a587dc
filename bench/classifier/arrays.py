"""A value of tensors and texts as one safetensors file that is mapped into memory when it is read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.classifier.checksums import tree_digest
from bench.learning.state_io import flatten, restore
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.tensor_files import write_tensors
from bench.utils.texts import require_regular

_KEY = "value"
"""The entry of the file's metadata that describes the value."""


def write_arrays(path: Path, value: Any) -> str:
    """Write a value and return the root of the file's tree of hashes.

    Arrays of texts are stored as their code points (UTF-32, as numpy holds them), which need no decoding when they are
    mapped again.

    Raises
    ------
    BenchError
        If the disk is too full or the folder cannot be written to; nothing is left behind.
    """
    description, tensors = flatten(value)
    description = _once(_texts_apart(description, tensors), tensors)
    write_tensors(path, tensors, metadata={_KEY: json.dumps(description)})
    return tree_digest(path)


def read_arrays(path: Path, root: str, allowed: Collection[str]) -> Any:
    """Return a value that :func:`write_arrays` wrote, its arrays mapped, after checking the tree of hashes.

    Parameters
    ----------
    root : str
        What :func:`write_arrays` returned.
    allowed : collection of str
        Top-level packages whose dataclasses may be made; nothing else in the file is executed.

    Raises
    ------
    BenchError
        If the file is missing, was changed, or holds what is not allowed.
    """
    from safetensors import SafetensorError, safe_open

    again = "fit the classifier again, or copy its whole folder again"
    try:
        require_regular(path)
        if tree_digest(path) != root:
            raise BenchError(f"{path} was changed or is damaged (its hash differs from the classifier's); {again}")
        with safe_open(path, framework="pt") as stored:
            description = parse_json((stored.metadata() or {})[_KEY])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return restore(_texts_back(description, tensors), tensors, str(path), allowed)
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; {again}") from None
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BenchError(f"{path} cannot be read ({one_line(error)}); {again}") from None


def is_ours(path: Path) -> bool:
    """Return whether a file is one that :func:`write_arrays` wrote, by what it says of itself."""
    from safetensors import SafetensorError, safe_open

    try:
        require_regular(path)
        with safe_open(path, framework="pt") as stored:
            return _KEY in (stored.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _once(part: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a description in which tensors of one content are one: a state may hold a copy of the items it is of."""
    first: dict[str, str] = {}
    place = {name: first.setdefault(digest(tensor), name) for name, tensor in tensors.items()}
    for name, other in place.items():
        if name != other:
            del tensors[name]

    def named(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {
                k: place[v] if k in ("tensor", "texts") and isinstance(v, str) else named(v) for k, v in part.items()
            }
        return [named(inner) for inner in part] if isinstance(part, list) else part

    return named(part)


def _texts_apart(part: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a description whose arrays of texts have become tensors."""
    if isinstance(part, Mapping):
        if set(part) == {"strings"} and isinstance(part["strings"], list):
            array, name = np.array(part["strings"], dtype="U"), f"text.{len(tensors)}"
            raw = np.frombuffer(array.tobytes(), dtype=np.uint8).reshape(len(array), array.dtype.itemsize)
            tensors[name] = torch.from_numpy(raw.copy())
            return {"texts": name}
        return {name: _texts_apart(inner, tensors) for name, inner in part.items()}
    if isinstance(part, list):
        return [_texts_apart(inner, tensors) for inner in part]
    return part


def _texts_back(part: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(part, Mapping):
        if set(part) == {"texts"} and isinstance(part["texts"], str):
            raw = tensors[part["texts"]].numpy()
            width = raw.shape[1]
            return {"strings": raw.reshape(-1).view(f"<U{max(1, width // 4)}") if width else np.zeros(0, dtype="U1")}
        return {name: _texts_back(inner, tensors) for name, inner in part.items()}
    if isinstance(part, list):
        return [_texts_back(inner, tensors) for inner in part]
    return part
