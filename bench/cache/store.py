"""Cached features, found by a hash of the content they were computed from.

The cache is a folder of *spaces*. A space is named by a hash of all that shapes a feature besides the input itself
(weights, activation, preprocessing, precision, context length, libraries); within it a feature is found by the
SHA-256 of the input: a file's bytes, or a finished prompt. A template or a class name is part of the prompt and a split
is a choice of files, so neither can give a stale feature.

A shard is a safetensors file named by the SHA-256 of its own bytes, written whole and never changed. Two processes can
therefore add at the same time, a stopped run keeps every shard it wrote, and a damaged file cannot pass for a good one.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError, Notice
from bench.utils.hashing import digest, file_digest
from bench.utils.json_text import parse_json

FORMAT = 1
SPACE_FILE = "space.json"
SUFFIX = ".safetensors"

Kind = Literal["image", "text"]


def content_key(content: bytes | str) -> str:
    """Return the SHA-256 of an input, in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@dataclass(frozen=True)
class FeatureCache:
    """The cache in a folder; the folder is made when something is first written."""

    root: Path

    def space(self, kind: Kind, description: Mapping[str, Any], *, encoder: str) -> Space:
        """Return the space of a description; ``encoder`` is the name to show for it.

        Raises
        ------
        BenchError
            If the folder holds a space of another version of the cache.
        """
        content = {"format": FORMAT, "kind": kind, "space": dict(description)}
        folder = self.root / digest(content)
        manifest = read_space(folder)
        if manifest is not None and manifest.get("format") != FORMAT:
            raise BenchError(
                f"{folder} was written by another version (format {manifest.get('format')}, this one is {FORMAT}); "
                "set BENCH_CACHE to another folder, or remove it with `bench data cache prune`"
            )
        return Space(folder, {**content, "encoder": encoder})


def read_space(folder: Path) -> dict[str, Any] | None:
    """Return a space's manifest; None where there is none, an empty one where it cannot be read."""
    try:
        manifest = parse_json((folder / SPACE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


@dataclass(eq=False)
class Space:
    """The features of one encoder, under one kind of input.

    It remembers which shards it has seen; :meth:`read` looks for those that other processes added.
    """

    folder: Path
    manifest: Mapping[str, Any]
    _keys: dict[str, np.ndarray] = field(default_factory=dict, init=False)
    _verified: set[str] = field(default_factory=set, init=False)
    _damaged: set[str] = field(default_factory=set, init=False)

    def add(self, keys: Sequence[str], arrays: Mapping[str, Tensor]) -> Path:
        """Write features under their keys as one shard and return its file.

        Parameters
        ----------
        keys : sequence of str
            Results of :func:`content_key`.
        arrays : mapping of str to Tensor [n, ...]
            One row a key; names are free but for ``keys``.
        """
        from safetensors.torch import save

        stored = np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(len(keys), 32)
        tensors = {"keys": torch.from_numpy(stored.copy()), **{k: v.contiguous() for k, v in arrays.items()}}
        data = save(tensors)
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}{SUFFIX}"
        if not path.exists():
            write_atomically(path, data)
        self._touch()
        return path

    def read(self, keys: Sequence[str]) -> tuple[np.ndarray, dict[str, Tensor]]:
        """Return which keys are there, bool [n], and the rows of those that are, in the order of the keys.

        A shard whose bytes do not give its name is left out, with a warning; what it held counts as missing.
        """
        wanted = np.array([bytes.fromhex(key) for key in keys], dtype="S32")
        found = np.zeros(len(keys), dtype=bool)
        parts: list[dict[str, Tensor]] = []
        places: list[np.ndarray] = []
        self._look()
        for name, held in self._keys.items():
            if found.all():
                break
            here = ~found & np.isin(wanted, held)
            if not here.any() or not self._sound(name):
                continue
            order = np.argsort(held, kind="stable")
            rows = order[np.searchsorted(held, wanted[here], sorter=order)]
            parts.append(self._rows(name, rows))
            places.append(np.flatnonzero(here))
            found |= here
        if parts:
            self._touch()
        return found, _in_order(parts, places)

    def count(self) -> int:
        """Return the number of different inputs it holds features of."""
        self._look()
        return len(np.unique(np.concatenate(list(self._keys.values())))) if self._keys else 0

    def _look(self) -> None:
        """Read the keys of shards that were not seen before, and forget those that were removed."""
        present = {path.stem: path for path in self.folder.glob(f"*{SUFFIX}")} if self.folder.is_dir() else {}
        # In the order of their names, so that of two shards with one key every process takes the same.
        self._keys = {
            name: self._keys[name] if name in self._keys else self._read_keys(present[name])
            for name in sorted(set(present) - self._damaged)
        }

    def _read_keys(self, path: Path) -> np.ndarray:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as stored:
                keys = np.ascontiguousarray(stored.get_tensor("keys"))
            return keys.view("S32").reshape(-1)
        except FileNotFoundError:
            return np.zeros(0, "S32")
        except (OSError, SafetensorError, ValueError) as error:
            self._set_aside(path.stem, str(error))
            return np.zeros(0, "S32")

    def _sound(self, name: str) -> bool:
        if name not in self._verified:
            try:
                sound = file_digest(self.folder / f"{name}{SUFFIX}") == name
            except OSError:
                return False
            if not sound:
                self._set_aside(name, "its content does not give its name")
                return False
            self._verified.add(name)
        return True

    def _set_aside(self, name: str, reason: str) -> None:
        self._damaged.add(name)
        warnings.warn(
            Notice(
                f"cache file {self.folder / name}{SUFFIX} is damaged ({reason}) and was left out; what it held is "
                "encoded again; `bench data cache prune` removes it"
            ),
            stacklevel=4,
        )

    def _rows(self, name: str, rows: np.ndarray) -> dict[str, Tensor]:
        from safetensors import safe_open

        with safe_open(self.folder / f"{name}{SUFFIX}", framework="pt") as stored:
            names = [key for key in stored.keys() if key != "keys"]  # noqa: SIM118 - it is no dict
            return {key: stored.get_tensor(key)[torch.from_numpy(rows)] for key in names}

    def _touch(self) -> None:
        """Note the time of use, and put the manifest back if the space was pruned meanwhile."""
        path = self.folder / SPACE_FILE
        if path.exists():
            os.utime(path)
        else:
            write_atomically(path, json.dumps(dict(self.manifest), indent=1, sort_keys=True, default=str))


def _in_order(parts: Sequence[Mapping[str, Tensor]], places: Sequence[np.ndarray]) -> dict[str, Tensor]:
    if not parts:
        return {}
    order = torch.from_numpy(np.argsort(np.concatenate(places), kind="stable"))
    return {name: torch.cat([part[name] for part in parts])[order] for name in _names(parts)}


def _names(parts: Iterable[Mapping[str, Tensor]]) -> list[str]:
    return sorted(set.intersection(*(set(part) for part in parts)))
