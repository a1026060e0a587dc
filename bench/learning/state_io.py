"""States on disk: saved as and loaded from safetensors."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bench.core.state_parts import Leaf, fold, is_record
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.texts import require_regular

FORMER = {
    "bench.attention": "bench.functional.attention",
    "bench.features": "bench.core.features",
    "bench.gaussians": "bench.functional.gaussian",
    "bench.image_tower": "bench.encoders.image_tower",
    "bench.incremental_net": "bench.learning.incremental_net",
    "bench.logistic": "bench.functional.logistic_regression",
    "bench.memory": "bench.core.memory",
    "bench.ridge": "bench.functional.ridge",
    "bench.trained": "bench.runner.saved_weights",
}
"""Where the classes lie of states that were saved when all modules lay side by side, by the module a file names."""

_RENAMED = {"bench.trained:Trained": "SavedWeights"}

FORMER_FIELDS = {
    "bench.methods.foster:Compressed": {"kept": "exemplars"},
    "bench.methods.icarl:Exemplars": {"kept": "exemplars"},
    "bench.methods.replay:Rehearsed": {"kept": "exemplars"},
}
"""What fields were called once, by the class that has them."""


def flatten(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a JSON description of a state and its tensors by path.

    A state is built of dataclasses, tensors, string arrays, tuples, lists, dicts, numbers, strings and None.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    written: dict[tuple[object, ...], str] = {}

    def leaf(part: Leaf) -> Any:
        tensor = part.tensor
        if tensor is not None:
            # What a state holds twice is written once; views are copied, since a file cannot share memory.
            place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
            same = place if tensor.numel() else (part.path,)
            if same not in written:
                written[same] = part.path
                tensors[part.path] = tensor.detach().cpu().contiguous().clone()
            return {"tensor": written[same]}
        if part.strings is not None:
            return {"strings": part.strings.tolist()}
        if part.value is None or isinstance(part.value, (bool, int, float, str)):
            return {"plain": part.value}
        kind = type(part.value).__name__
        raise TypeError(f"a state cannot hold a {kind} at {part.path!r}; use dataclasses of tensors")

    return fold(value, leaf, _described, derived=False), tensors


def _described(value: Any, parts: Mapping[Any, Any]) -> Any:
    """Return the description of an inner value from those of its parts."""
    if is_record(value):
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": dict(parts)}
    if isinstance(value, dict):
        return {"dict": [[{"plain": key}, part] for key, part in parts.items()]}
    return {"tuple" if isinstance(value, tuple) else "list": list(parts.values())}


def to_bytes(value: Any) -> bytes:
    """Return a state as the content of a safetensors file."""
    from safetensors.torch import save as serialise

    description, tensors = flatten(value)
    # One entry, since several come in any order, and the same state is the same bytes.
    return serialise(tensors, metadata={"state": sealed(description, tensors)})


def sealed(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return a description as JSON with a hash of itself and of the tensors."""
    return json.dumps({**description, "checksum": _checksum(description, tensors)})


def _checksum(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    parts = (part for name in sorted(tensors) for part in (name, tensors[name]))
    return digest(json.dumps(description), *parts)


def save(value: Any, path: Path) -> None:
    """Write a state to one safetensors file, whole or not at all."""
    write_atomically(path, to_bytes(value))


def load(path: Path, *, allowed: tuple[str, ...] = ("bench", "methods")) -> Any:
    """Return a state written by :func:`save`.

    Only dataclasses of the ``allowed`` top-level packages are made; nothing else in the file is executed.

    Raises
    ------
    BenchError
        If it is none, was changed since it was written, holds anything else, or is of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        require_regular(path)
        with safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {})["state"]
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        description = parse_json(text)
        # When all modules lay side by side, files had no checksum.
        former = any(f'"{old}:' in text for old in FORMER)
        written = description.pop("checksum", None if former else "")
        same = written is None or written == _checksum(description, tensors)
    except (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise BenchError(f"{path} is not a saved state ({one_line(error)}); save it again with this version") from None
    if not same:
        raise BenchError(
            f"{path} was changed since it was saved: its checksum is another; do not load it, save it anew"
        )

    return restore(description, tensors, str(path), allowed)


def restore(description: Any, tensors: Mapping[str, Tensor], origin: str, allowed: Collection[str]) -> Any:
    """Return the state of a description and of the tensors it names, both from :func:`flatten`; texts may be arrays.

    Raises
    ------
    BenchError
        For a class of none of the ``allowed`` top-level packages, and one of other fields; ``origin`` is named.
    """

    def make(part: Any) -> Any:
        kind, content = next(iter(part.items()))
        if kind == "plain":
            return content
        if kind == "tensor":
            return tensors[content]
        if kind == "strings":
            if isinstance(content, np.ndarray) and content.dtype.kind == "U":
                return content
            if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
                raise TypeError("it has strings that are none")
            return np.array(content, dtype="U") if content else np.zeros(0, dtype="U1")
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(make(p) for p in content)
        if kind == "dict":
            return {make(k): make(v) for k, v in content}
        cls = _class(content, allowed)
        if cls is None:
            raise BenchError(f"{origin} holds a {content}, which is no state of a registered method; do not load it")
        former = FORMER_FIELDS.get(f"{cls.__module__}:{cls.__qualname__}", {})
        fields = {former.get(key, key): make(value) for key, value in part["fields"].items()}
        try:
            return cls(**fields)
        except TypeError:
            raise BenchError(
                f"{origin} was saved by another version, whose {content} had other parts; save it again with this "
                "version"
            ) from None

    try:
        return make(description)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, RuntimeError) as error:
        raise BenchError(
            f"{origin} is not a saved state ({one_line(error)}); save it again with this version"
        ) from None


def _class(written: str, allowed: Collection[str]) -> type | None:
    """Return the dataclass of a written name ``module:Class``; None if it is none of the allowed packages."""
    module, _, name = written.partition(":")
    top, *below = module.split(".")
    # To import a module is to run it; one that is a program is none of a state's.
    if top not in allowed or any(part.startswith("__") for part in below):
        return None
    name = _RENAMED.get(written, name)
    # Methods were once a package of their own.
    module = f"bench.{module}" if top == "methods" else FORMER.get(module, module)
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError, TypeError):
        return None
    return cls if isinstance(cls, type) and dataclasses.is_dataclass(cls) else None
