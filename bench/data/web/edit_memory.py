"""Memories joined and cut, with what is known of where their items come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.manifest import read_manifest
from bench.data.pack import decode_strings, encode_strings, read_arrays, write_arrays, write_manifest
from bench.data.provenance import PROVENANCE_FILE, read_provenance
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, suggest
from bench.utils.hashing import digest
from bench.utils.names import expand, file_name

_PARTS = ("web", "texts", "prompts")


class _Loaded:
    """A memory pack as it lies on disk: arrays of each part, and its provenance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        entries = {"web": self.manifest["splits"].get("web"), **{p: self.manifest.get(p) for p in ("texts", "prompts")}}
        if entries["web"] is None:
            raise BenchError(f"{folder} is no memory: it has no split 'web'; make one with `bench memory build`")
        self.parts = {part: read_arrays(folder, entry) for part, entry in entries.items() if entry}
        self.classes = [str(name) for name in self.manifest["classes"]]
        self.provenance = read_provenance(folder / PROVENANCE_FILE)

    def sources(self, part: str) -> np.ndarray:
        """Return where each row of a part comes from, str [n]; images by their provenance."""
        arrays = self.parts[part]
        if "sources" in arrays:
            return decode_strings(arrays["sources"])
        known = {str(entry.get("id")): str(entry.get("source", "")) for entry in self.provenance.get("images", [])}
        ids = decode_strings(arrays["ids"]).tolist() if "ids" in arrays else []
        return np.array([known.get(item, "") for item in ids], dtype="U")


def subset(
    folder: Path,
    out: Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    sources: Sequence[str] | None = None,
) -> Path:
    """Write a memory with only some classes, the first items of each class, or the items of some sources.

    Class ids stay, so that the two memories can stand in for one another.

    Raises
    ------
    BenchError
        If a class or source is not in the memory, or nothing is left.
    """
    loaded = _Loaded(folder)
    known = {source for part in ("web", "texts") if part in loaded.parts for source in loaded.sources(part).tolist()}
    for wanted, names, kind in ((classes, loaded.classes, "class"), (sources, sorted(known), "source")):
        for name in wanted or ():
            if name not in names:
                raise BenchError(f"{folder} has no {kind} {name!r}{suggest(name, names)}")
    if per_class is not None and per_class < 1:
        raise BenchError(f"items a class must be at least 1, got {per_class}")
    labels_wanted = [loaded.classes.index(name) for name in classes] if classes else list(range(len(loaded.classes)))
    kept: dict[str, dict[str, Tensor]] = {}
    for part in _PARTS:
        if part not in loaded.parts:
            continue
        arrays = loaded.parts[part]
        keep = np.isin(arrays["labels"].numpy(), labels_wanted)
        if sources is not None and part != "prompts":
            keep &= np.isin(loaded.sources(part), list(sources))
        rows = np.flatnonzero(keep)
        if per_class is not None and part != "prompts":
            rows = _first_of_each(arrays["labels"].numpy(), rows, per_class)
        kept[part] = {name: tensor[torch.from_numpy(rows)] for name, tensor in arrays.items()}
    if not any(len(kept[part]["x"]) for part in ("web", "texts") if part in kept):
        raise BenchError(f"no item of {folder} is left; ask for other classes or sources")
    return _write(out, loaded.manifest, kept, loaded.provenance)


def merge(folders: Sequence[Path], out: Path, *, name: str) -> Path:
    """Write the items of several memories of the same classes and encoder as one; equal items are kept once.

    Raises
    ------
    BenchError
        If the memories differ in classes, encoder or dimension.
    """
    file_name(name, "memory")
    loaded = [_Loaded(folder) for folder in folders]
    if len(loaded) < 2:
        raise BenchError("merging takes at least two memories")
    first = loaded[0]
    for other in loaded[1:]:
        if other.classes != first.classes:
            raise BenchError(f"{first.folder} and {other.folder} have different classes; build both from one list")
        spaces = [pack.manifest.get("encoder", {}).get("space") for pack in (first, other)]
        if spaces[0] != spaces[1] or first.manifest["dimension"] != other.manifest["dimension"]:
            raise BenchError(f"{first.folder} and {other.folder} are of different encoders ({spaces[0]}, {spaces[1]})")
    kept: dict[str, dict[str, Tensor]] = {}
    for part in _PARTS:
        arrays = [pack.parts[part] for pack in loaded if part in pack.parts and len(pack.parts[part]["x"])]
        if part == "prompts":
            arrays = arrays[:1]
        if arrays:
            kept[part] = _joined(arrays)
        elif part in first.parts:
            kept[part] = first.parts[part]
    provenance = {
        key: [entry for pack in loaded for entry in pack.provenance.get(key, [])]
        for key in ("images", "texts", "set_aside")
    }
    return _write(out, {**first.manifest, "name": name}, kept, provenance)


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    shared = sorted(set.intersection(*(set(arrays) for arrays in parts)) - {"ids", "sources"})
    joined = {name: torch.cat([arrays[name] for arrays in parts]) for name in shared}
    strings = {
        name: np.concatenate([decode_strings(arrays[name]) for arrays in parts])
        for name in ("ids", "sources")
        if all(name in arrays for arrays in parts)
    }
    # An item is the same if its name, class and vector are.
    vectors = [digest(row) for row in joined["x"].float().numpy()]
    first: dict[tuple[str, int, str], int] = {}
    for row, key in enumerate(zip(strings["ids"].tolist(), joined["labels"].tolist(), vectors, strict=True)):
        first.setdefault(key, row)
    rows = torch.tensor(list(first.values()))
    result = {name: tensor[rows] for name, tensor in joined.items()}
    for name, values in strings.items():
        result[name] = encode_strings(values[rows.numpy()].tolist())
    return result


def _first_of_each(labels: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    taken: dict[int, int] = {}
    kept = []
    for row in rows.tolist():
        label = int(labels[row])
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= count:
            kept.append(row)
    return np.array(kept, dtype=np.int64)


def _write(
    out: Path,
    manifest: dict[str, Any],
    parts: dict[str, dict[str, Tensor]],
    provenance: dict[str, list[dict[str, Any]]],
) -> Path:
    out = expand(out)
    entries = {part: write_arrays(out, part, arrays) for part, arrays in parts.items()}
    content = {part: entry["sha256"] for part, entry in entries.items()}
    full = {**manifest, "revision": digest(content)[:12], "splits": {"web": entries["web"]}}
    full |= {part: entries[part] for part in ("texts", "prompts") if part in entries}
    ids = {
        item
        for part in ("web", "texts")
        if part in parts and "ids" in parts[part]
        for item in decode_strings(parts[part]["ids"]).tolist()
    }
    left = {
        key: [entry for entry in entries_ if key == "set_aside" or entry.get("id") in ids]
        for key, entries_ in provenance.items()
    }
    write_atomically(out / PROVENANCE_FILE, json.dumps(left, indent=1, ensure_ascii=False))
    write_manifest(out, full)
    return out
