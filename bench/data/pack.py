"""Feature packs: precomputed features on disk, memory-mapped; see ``docs/feature-packs.md`` for the format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.data.declared_memory import Resolve, declared_images
from bench.data.manifest import read_manifest
from bench.data.memory_entries import Declared
from bench.data.pack_arrays import array_fault
from bench.data.pack_files import MANIFEST
from bench.utils.atomic import sweep, write_atomically
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import file_digest
from bench.utils.names import expand, file_name, name_fault, shown
from bench.utils.tensor_files import write_tensors
from bench.utils.texts import require_regular
from bench.utils.yaml12 import dump_yaml

_opening: ContextVar[tuple[Path, ...]] = ContextVar("opening", default=())
"""The packs that are being opened, the outermost first: a memory may name another pack, which may name a third."""


# -- writing -----------------------------------------------------------------------------------------------------


def encode_strings(strings: Sequence[str]) -> Tensor:
    """Return strings as UTF-8 bytes padded with zeros, uint8 [n, w]."""
    raw = np.array([s.encode() for s in strings], dtype="S")
    return torch.from_numpy(np.frombuffer(raw.tobytes(), dtype=np.uint8).reshape(len(raw), raw.dtype.itemsize).copy())


def decode_strings(stored: Tensor) -> np.ndarray:
    """Return the strings of :func:`encode_strings`, str [n]."""
    raw = np.ascontiguousarray(stored.numpy())
    return np.char.decode(raw.view(f"S{raw.shape[1]}").reshape(-1), "utf-8")


def write_arrays(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write one safetensors file and return its manifest entry: file, rows, sha256.

    A file that the folder's present manifest names is not touched: the new one lies beside it under another name, and
    :func:`write_manifest` puts the new files in the place of the old.

    Raises
    ------
    BenchError
        If its name cannot be that of a file, if it is larger than what is left of the disk (then nothing is written),
        or if it cannot be written.
    """
    file_name(name, "split")
    used = _files(folder)
    path = next(path for path in _names(folder, name) if path.name not in used)
    write_tensors(path, tensors)
    return {"file": path.name, "rows": len(tensors["x"]), "sha256": file_digest(path)}


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / f"{name}.safetensors"
    yield from (folder / f"{name}.{number}.safetensors" for number in itertools.count(2))


def _files(folder: Path) -> set[str]:
    """Return the names of the files that a folder's manifest tells of; none if no manifest can be read."""
    try:
        manifest = read_manifest(folder)
    except BenchError:
        return set()
    return {entry["file"] for entry in _entries(manifest)}


def _entries(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*manifest["splits"].values(), *(manifest[part] for part in ("texts", "prompts") if manifest.get(part))]


def write_split(folder: Path, name: str, x: Tensor, labels: Tensor, ids: Sequence[str] | None = None) -> dict[str, Any]:
    """Write a split; without ids its rows are named ``<split>/<row>`` when it is read."""
    tensors = {"x": x, "labels": labels.to(torch.int32)}
    if ids is not None:
        tensors["ids"] = encode_strings(ids)
    return write_arrays(folder, name, tensors)


def write_texts(
    folder: Path, name: str, x: Tensor, labels: Tensor, ids: Sequence[str], sources: Sequence[str]
) -> dict[str, Any]:
    """Write text items or class texts."""
    return write_arrays(
        folder,
        name,
        {"x": x, "labels": labels.to(torch.int32), "ids": encode_strings(ids), "sources": encode_strings(sources)},
    )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``pack.yaml``, and remove the arrays of the pack that lay there before.

    It is written last, at one moment, and a pack is what its manifest names. A writer that is stopped before it leaves
    the old pack as it was; what it had written is written over or removed by the next.
    """
    before = _files(folder)
    sweep(folder)
    write_atomically(folder / MANIFEST, dump_yaml(manifest))
    kept = {entry["file"] for entry in _entries(manifest)}
    parts = {*manifest["splits"], "texts", "prompts", *(file.split(".safetensors")[0] for file in before)}
    for path in folder.glob("*.safetensors"):
        name, _, number = path.stem.rpartition(".")
        ours = path.name in before or path.stem in parts or (name in parts and number.isdecimal())
        if ours and path.name not in kept:
            # A system that keeps mapped files from being removed leaves it to the next writer.
            with suppress(OSError):
                path.unlink()


# -- reading -----------------------------------------------------------------------------------------------------


def read_arrays(folder: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the arrays of a manifest entry, memory-mapped, after checking the file's hash, types and shapes."""
    from safetensors import SafetensorError, safe_open

    file = entry["file"]
    path = folder / file
    outside = BenchError(f"{folder / MANIFEST}: file {shown(file)} lies outside the pack; move it inside")
    if name_fault(file, longest=255):
        raise outside
    try:
        require_regular(path)
        if path.resolve().parent != folder.resolve():
            raise outside
        if file_digest(path) != entry["sha256"]:
            raise BenchError(f"{path} is not the file its manifest describes (sha256 differs); import the pack again")
        with safe_open(path, framework="pt") as stored:
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; import the pack again") from None
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BenchError(f"{path} is truncated or damaged ({one_line(error)}); import the pack again") from None
    fault = array_fault(arrays)
    if fault:
        raise BenchError(f"{path}: {fault}; import the pack again")
    return arrays


Read = Callable[[Path, Mapping[str, Any]], dict[str, Tensor]]
"""Gives the arrays of an entry of a manifest."""


def _split(
    folder: Path, name: str, entry: Mapping[str, Any], class_names: tuple[str, ...], d: int, read: Read
) -> Features:
    arrays = read(folder, entry)
    x = arrays["x"]
    if x.shape[1] != d:
        raise BenchError(f"{folder / entry['file']}: features of shape {tuple(x.shape)}, the pack says d = {d}")
    ids = _strings(folder, entry, arrays, "ids") if "ids" in arrays else row_names(name, len(x))
    return Features(x, _labels(folder, entry, arrays, len(class_names)), ids, class_names)


def row_names(split: str, n: int) -> np.ndarray:
    """Return what the rows of a split without ids are called, str [n]."""
    return np.char.add(f"{split}/", np.arange(n).astype(f"U{len(str(n))}"))


def _labels(folder: Path, entry: Mapping[str, Any], arrays: Mapping[str, Tensor], n_classes: int) -> Tensor:
    labels = arrays["labels"].long()
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise BenchError(
            f"{folder / entry['file']}: labels run from {int(labels.min())} to {int(labels.max())} but there are "
            f"{n_classes} class names; give a name for every label"
        )
    return labels


def _strings(folder: Path, entry: Mapping[str, Any], arrays: Mapping[str, Tensor], name: str) -> np.ndarray:
    try:
        return decode_strings(arrays[name])
    except UnicodeDecodeError:
        raise BenchError(f"{folder / entry['file']}: {name} are not UTF-8; import the pack again") from None


def _texts(folder: Path, entry: Mapping[str, Any] | None, d: int, n_classes: int, read: Read) -> Items:
    if not entry:
        return Items.empty(d)
    arrays = read(folder, entry)
    if not {"ids", "sources"} <= set(arrays):
        raise BenchError(f"{folder / entry['file']}: texts need ids and sources; import the pack again")
    if arrays["x"].shape[1] != d:
        raise BenchError(
            f"{folder / entry['file']}: features of shape {tuple(arrays['x'].shape)}, the pack says d = {d}"
        )
    labels = _labels(folder, entry, arrays, n_classes)
    ids, sources = (_strings(folder, entry, arrays, name) for name in ("ids", "sources"))
    return Items(arrays["x"], labels, ids, sources)


def open_pack(folder: Path, resolve: Resolve) -> Dataset:
    """Return the data set of a pack; ``resolve`` finds other packs that its memory names.

    Raises
    ------
    BenchError
        For a pack that is damaged in any way, and one whose memory comes from itself, directly or through others.
    """
    place = folder.resolve()
    opening = _opening.get()
    if place in opening:
        chain = " -> ".join(other.name for other in (*opening[opening.index(place) :], place))
        raise BenchError(f"{folder / MANIFEST}: the pack takes its memory from itself ({chain}); name another pack")
    token = _opening.set((*opening, place))
    try:
        return described(folder, read_manifest(folder), resolve)
    finally:
        _opening.reset(token)


def described(folder: Path, manifest: Mapping[str, Any], resolve: Resolve, read: Read = read_arrays) -> Dataset:
    """Return the data set that a manifest describes; ``read`` gives the arrays of its entries."""
    names = tuple(str(name) for name in manifest["classes"])
    d = int(manifest["dimension"])
    splits = {name: _split(folder, name, entry, names, d, read) for name, entry in manifest["splits"].items()}
    if not splits:
        raise BenchError(f"{folder / MANIFEST} names no split; import the pack again")
    lost = [split for named in manifest["roles"].values() for split in named if split not in splits]
    if lost:
        raise BenchError(f"{folder / MANIFEST}: roles name split {shown(lost[0])}, and there are {', '.join(splits)}")
    prompts = _texts(folder, manifest.get("prompts"), d, len(names), read)
    encoder = manifest.get("encoder") or {}
    declared = Declared.model_validate(manifest.get("memory") or {})
    texts = _texts(folder, manifest.get("texts"), d, len(names), read)
    images = declared_images(manifest["name"], declared, splits, names, d, lambda other: resolve(_near(folder, other)))
    return Dataset(
        card=Card(
            name=str(manifest["name"]),
            revision=str(manifest.get("revision", "")),
            licence=str(manifest.get("licence", "unknown")),
            citation=str(manifest.get("citation", "")),
            encoder=str(encoder.get("name", "unknown")),
            space=str(encoder.get("space", "")),
            description=str(manifest.get("description", "")),
            near=float(manifest.get("near", Card.near)),
            encoder_flops=_whole(encoder.get("flops")),
            encoder_licence=str(encoder.get("licence", "unknown")),
            encoder_texts=str(encoder.get("texts", "")),
        ),
        class_names=names,
        splits=splits,
        roles={role: tuple(parts) for role, parts in manifest["roles"].items()},
        prompts=Features(prompts.x, prompts.labels, prompts.ids, names),
        memory=Memory(images, texts),
        class_split={k: tuple(v) for k, v in (manifest.get("class_split") or {}).items()},
    )


def _whole(value: Any) -> int | None:
    """Return a count that a manifest tells; None for anything else, since people write manifests too."""
    return value if type(value) is int and value >= 0 else None


def _near(folder: Path, other: str) -> str:
    """Return the path of another pack named relative to this one, or the name as it is."""
    if "\0" in other:
        raise BenchError(f"{folder / MANIFEST}: memory names pack {shown(other)}, which is no path; name another")
    beside = folder / expand(Path(other))
    return str(beside) if (beside / MANIFEST).is_file() else other
