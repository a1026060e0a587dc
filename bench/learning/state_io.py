"""States as plain values: measured in bytes, moved to a device, saved as and loaded from safetensors."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError


def flatten(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a JSON description of a state and its tensors by path.

    A state is built of dataclasses, tensors, string arrays, tuples, lists, dicts, numbers, strings and None.
    """
    tensors: dict[str, Tensor] = {}
    written: dict[tuple[object, ...], str] = {}

    def walk(part: Any, path: str) -> Any:
        if isinstance(part, Tensor):
            # What a state holds twice is written once; views are copied, since a file cannot share memory.
            same = (part.data_ptr(), tuple(part.shape), part.stride(), part.dtype) if part.numel() else (path,)
            if same not in written:
                written[same] = path
                tensors[path] = part.detach().cpu().contiguous().clone()
            return {"tensor": written[same]}
        if isinstance(part, np.ndarray):
            return {"strings": part.tolist()} if part.dtype.kind == "U" else walk(torch.from_numpy(part), path)
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            fields = {
                f.name: walk(getattr(part, f.name), f"{path}.{f.name}") for f in dataclasses.fields(part) if f.init
            }
            return {"class": f"{type(part).__module__}:{type(part).__qualname__}", "fields": fields}
        if isinstance(part, (list, tuple)):
            kind = "tuple" if isinstance(part, tuple) else "list"
            return {kind: [walk(p, f"{path}.{n}") for n, p in enumerate(part)]}
        if isinstance(part, dict):
            return {"dict": [[walk(k, ""), walk(v, f"{path}.{k}")] for k, v in part.items()]}
        if part is None or isinstance(part, (bool, int, float, str)):
            return {"plain": part}
        raise TypeError(f"a state cannot hold a {type(part).__name__} at {path!r}; use dataclasses of tensors")

    return walk(value, "state"), tensors


def nbytes(value: Any) -> int:
    """Return how many bytes the tensors of a state occupy; a tensor that appears twice counts once."""
    seen: dict[int, int] = {}

    def walk(part: Any) -> None:
        if isinstance(part, Tensor):
            seen[part.data_ptr() if part.numel() else id(part)] = part.numel() * part.element_size()
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            for f in dataclasses.fields(part):
                walk(getattr(part, f.name))
        elif isinstance(part, (list, tuple)):
            for p in part:
                walk(p)
        elif isinstance(part, dict):
            for p in part.values():
                walk(p)

    walk(value)
    return sum(seen.values())


def move(value: Any, device: torch.device | str) -> Any:
    """Return a state with every tensor on a device."""
    return _rebuild(value, lambda t: t.to(device))


def _rebuild(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(part, Tensor):
        return change(part)
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return dataclasses.replace(
            part, **{f.name: _rebuild(getattr(part, f.name), change) for f in dataclasses.fields(part) if f.init}
        )
    if isinstance(part, (list, tuple)):
        return type(part)(_rebuild(p, change) for p in part)
    if isinstance(part, dict):
        return {k: _rebuild(v, change) for k, v in part.items()}
    return part


def to_bytes(value: Any) -> bytes:
    """Return a state as the content of a safetensors file."""
    from safetensors.torch import save as serialise

    description, tensors = flatten(value)
    return serialise(tensors, metadata={"state": json.dumps(description)})


def save(value: Any, path: Path) -> None:
    """Write a state to one safetensors file, whole or not at all."""
    write_atomically(path, to_bytes(value))


def load(path: Path, *, allowed: tuple[str, ...] = ("bench", "methods")) -> Any:
    """Return a state written by :func:`save`.

    Only dataclasses of the ``allowed`` top-level packages are made; nothing else in the file is executed.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            description = json.loads((stored.metadata() or {})["state"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BenchError(f"{path} is not a saved state ({error}); save it again with this version") from None

    def make(part: Any) -> Any:
        kind, content = next(iter(part.items()))
        if kind == "plain":
            return content
        if kind == "tensor":
            return tensors[content]
        if kind == "strings":
            return np.array(content, dtype="U") if content else np.zeros(0, dtype="U1")
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(make(p) for p in content)
        if kind == "dict":
            return {make(k): make(v) for k, v in content}
        module, name = content.split(":")
        cls = getattr(importlib.import_module(module), name) if module.split(".")[0] in allowed else None
        if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
            raise BenchError(f"{path} holds a {content}, which is no state of a registered method; do not load it")
        return cls(**{key: make(value) for key, value in part["fields"].items()})

    return make(description)
