"""Indexes on disk: kept under the fingerprint of what they index, memory-mapped, refused for anything else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

import faiss
from torch import Tensor

from bench.cache.location import INDEXES, cache_root
from bench.search.approximate.faiss_index import FaissIndex
from bench.utils.atomic import replacing, require_space, write_atomically
from bench.utils.errors import BenchError
from bench.utils.hashing import digest

FORMAT = 1
_PIECES, _PIECE = 64, 1 << 12
"""Pieces of an index that its label tells the hash of, and the bytes of one."""
_DATA, _LABEL = "index.faiss", "index.json"
WORTH_KEEPING = 50_000
"""Items from which on an index is kept on disk; smaller ones are made again in seconds."""


class Recipe(Protocol):
    """How an index is made of keys, as far as keeping it needs to know."""

    kind: str
    parameters: type[Any]

    @property
    def building(self) -> dict[str, int | None]:
        """The parameters that shape the index."""

    @property
    def settings(self) -> dict[str, int]:
        """What faiss is told at every search."""

    def build(self, keys: Tensor) -> FaissIndex:
        """Return a new index of keys [m, d]."""

    def item_bytes(self, dimension: int) -> int:
        """Return the bytes an item takes in the index."""


def index_folder(recipe: Recipe, fingerprint: str) -> Path:
    """Return where the cache keeps the index of a recipe over keys of a fingerprint."""
    # The version of faiss counts, since another may build another index from the same keys.
    name = digest(recipe.building, fingerprint, faiss.__version__)[:16]
    return cache_root() / INDEXES / f"{recipe.kind}-{name}"


def cached_index(recipe: Recipe, keys: Tensor) -> FaissIndex:
    """Return the index of some keys, from the cache if it is there; a new one of many keys is kept there."""
    if len(keys) < WORTH_KEEPING:
        return recipe.build(keys)
    fingerprint = digest(keys)
    folder = index_folder(recipe, fingerprint)
    if not (folder / _LABEL).is_file():
        require_space(folder, len(keys) * recipe.item_bytes(keys.shape[1]), what=f"the {recipe.kind} index")
        save(recipe.build(keys), folder, recipe, fingerprint)
    return load(folder, recipe, fingerprint)


def save(index: FaissIndex, folder: Path, recipe: Recipe, fingerprint: str) -> None:
    """Write an index and the label that says what it indexes; the label is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _DATA) as temporary:
        index.write(temporary)
    label = {
        "format": FORMAT,
        "kind": recipe.kind,
        "building": recipe.building,
        "items": len(index),
        "keys": fingerprint,
        "bytes": os.path.getsize(folder / _DATA),
        "sampled": _sampled(folder / _DATA),
        "removed": index.removed,
        "faiss": faiss.__version__,
    }
    write_atomically(folder / _LABEL, json.dumps(label, indent=2) + "\n")


def load(folder: Path, recipe: Recipe, fingerprint: str) -> FaissIndex:
    """Return the index of a folder, memory-mapped.

    Raises
    ------
    BenchError
        If it was built for other keys or with other parameters, or is damaged.
    """
    label = _read_label(folder)
    if label["keys"] != fingerprint:
        raise BenchError(
            f"{folder} indexes another memory (fingerprint {label['keys'][:12]}, this one has {fingerprint[:12]}); "
            "delete the folder and run again"
        )
    if (label["kind"], label["building"]) != (recipe.kind, recipe.building):
        raise BenchError(
            f"{folder} is a {label['kind']} index made with {label['building']}, not {recipe.kind} with "
            f"{recipe.building}; delete the folder and run again"
        )
    file = folder / _DATA
    if not file.is_file() or os.path.getsize(file) != label["bytes"]:
        raise BenchError(f"{file} is missing or truncated; delete its folder and run again")
    # Labels of earlier versions tell of no samples.
    if label.get("sampled", found := _sampled(file)) != found:
        raise BenchError(f"{file} is not the index that was written for this memory; delete its folder and run again")
    index = FaissIndex.open(file, parameters=recipe.parameters, settings=recipe.settings)
    index.remove(label["removed"])
    return index


def _sampled(file: Path) -> str:
    """Return the hash of pieces of a file, from its first to its last; to read it whole takes what mapping spares.

    Indexes of two memories differ in nearly all of their bytes.
    """
    size, found = os.path.getsize(file), hashlib.sha256()
    with file.open("rb") as stream:
        for place in range(_PIECES):
            stream.seek(max(0, size - _PIECE) * place // (_PIECES - 1))
            found.update(stream.read(_PIECE))
    return found.hexdigest()


def _read_label(folder: Path) -> dict[str, Any]:
    path = folder / _LABEL
    try:
        label: dict[str, Any] = json.loads(path.read_text())
        complete = {"format", "kind", "building", "keys", "bytes", "removed"} <= label.keys()
    except (OSError, ValueError, AttributeError):
        complete = False
    if not complete:
        raise BenchError(f"{path} is missing or damaged; delete its folder and run again")
    if label["format"] > FORMAT:
        raise BenchError(f"{folder} was written by a newer version (format {label['format']}); update retrieval-bench")
    return label
