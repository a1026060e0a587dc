"""Listing, verifying and pruning the cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bench.cache.location import INDEXES, PACKS, TOWERS
from bench.cache.store import FORMAT, SPACE_FILE, SUFFIX, read_space
from bench.data.manifest import read_manifest
from bench.utils.atomic import sweep
from bench.utils.errors import BenchError
from bench.utils.hashing import file_digest
from bench.utils.json_text import parse_json

_DAY = 86400.0


@dataclass(frozen=True)
class SpaceEntry:
    """One space, one pack made of images, one index of a memory or one exported tower, as a table row.

    Attributes
    ----------
    rows : int
        Stored features; one that two processes computed at once counts twice.
    idle_days : float
        Time since it was last read or written.
    readable : bool
        False for a space of another version of the cache, which this one leaves alone.
    """

    folder: Path
    encoder: str
    kind: str
    precision: str
    rows: int
    size_bytes: int
    idle_days: float
    readable: bool


@dataclass(frozen=True)
class Damage:
    """A damaged file of the cache, and what is wrong with it."""

    path: Path
    reason: str


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if (path / SPACE_FILE).is_file())


def list_spaces(root: Path) -> list[SpaceEntry]:
    """Return every space, pack, index and exported tower of a cache, the most recently used first."""
    found = []
    for folder in _folders(root):
        manifest = read_space(folder) or {}
        shards = list(folder.glob(f"*{SUFFIX}"))
        found.append(
            SpaceEntry(
                folder=folder,
                encoder=str(manifest.get("encoder", "unknown")),
                kind=str(manifest.get("kind", "unknown")),
                precision=str((manifest.get("space") or {}).get("precision", "unknown")),
                rows=sum(_rows(path) for path in shards),
                size_bytes=sum(path.stat().st_size for path in shards),
                idle_days=max(0.0, time.time() - (folder / SPACE_FILE).stat().st_mtime) / _DAY,
                readable=manifest.get("format") == FORMAT,
            )
        )
    found += _packs(root / PACKS) + _indexes(root / INDEXES) + _towers(root / TOWERS)
    return sorted(found, key=lambda entry: entry.idle_days)


def _packs(root: Path) -> list[SpaceEntry]:
    """Return packs of images; one without a manifest was never finished."""
    found = []
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        try:
            manifest = read_manifest(folder)
        except BenchError:
            manifest = {}
        files = [path for path in folder.iterdir() if path.is_file()]
        found.append(
            SpaceEntry(
                folder=folder,
                encoder=str((manifest.get("encoder") or {}).get("name", "unknown")),
                kind="pack",
                precision=str((manifest.get("encoder") or {}).get("precision", "unknown")),
                rows=sum(int(entry["rows"]) for entry in manifest.get("splits", {}).values()),
                size_bytes=sum(path.stat().st_size for path in files),
                idle_days=_idle_days([folder, *files]),
                readable=bool(manifest),
            )
        )
    return found


def _indexes(root: Path) -> list[SpaceEntry]:
    """Return indexes of memories; one without a label was never finished."""
    found = []
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        try:
            content = parse_json((folder / "index.json").read_text())
            label = content if isinstance(content, dict) and isinstance(content.get("items"), int) else {}
        except (OSError, ValueError):
            label = {}
        files = [path for path in folder.iterdir() if path.is_file()]
        found.append(
            SpaceEntry(
                folder=folder,
                encoder="any",
                kind="index",
                precision=str(label.get("kind", "unknown")),
                rows=int(label.get("items", 0)),
                size_bytes=sum(path.stat().st_size for path in files),
                idle_days=_idle_days([folder, *files]),
                readable=bool(label),
            )
        )
    return found


def _towers(root: Path) -> list[SpaceEntry]:
    """Return image towers that were exported for another runtime; the folder is named by the encoder and a hash."""
    return [
        SpaceEntry(
            folder=folder,
            encoder=folder.name.rpartition("-")[0],
            kind="tower",
            precision="fp32",
            rows=0,
            size_bytes=sum(path.stat().st_size for path in folder.iterdir()),
            idle_days=_idle_days([folder, *folder.iterdir()]),
            readable=True,
        )
        for folder in sorted(path for path in root.glob("*") if path.is_dir())
    ]


def _idle_days(paths: list[Path]) -> float:
    return max(0.0, time.time() - max(path.stat().st_mtime for path in paths)) / _DAY


def _rows(path: Path) -> int:
    try:
        with safe_open(path, framework="np") as stored:
            return int(stored.get_slice("keys").get_shape()[0])
    except (OSError, SafetensorError):
        return 0


def verify(root: Path) -> tuple[int, list[Damage]]:
    """Return how many files were read, and those whose content does not give their name."""
    damaged: list[Damage] = []
    count = 0
    for folder in _folders(root):
        if (read_space(folder) or {}).get("format") != FORMAT:
            continue
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            count += 1
            try:
                if file_digest(path) != path.stem:
                    damaged.append(Damage(path, "its content does not give its name"))
            except OSError as error:
                damaged.append(Damage(path, str(error.strerror)))
    return count, damaged


def prune(root: Path, *, idle_days: float | None = None, everything: bool = False) -> tuple[int, int]:
    """Remove damaged files, spaces of other versions, and what stopped processes left half-written.

    Parameters
    ----------
    idle_days : float, optional
        Remove also spaces that were not used for so many days.
    everything : bool
        Remove all spaces.

    Returns
    -------
    files, bytes : int
        What was removed.
    """
    if idle_days is not None and idle_days < 0:
        raise BenchError(f"idle days must not be negative, got {idle_days:g}")
    files = size = 0
    for entry in list_spaces(root):
        idle = idle_days is not None and entry.idle_days >= idle_days
        if everything or idle or not entry.readable:
            files += len(list(entry.folder.glob(f"*{SUFFIX}")))
            size += entry.size_bytes
            shutil.rmtree(entry.folder)
        else:
            sweep(entry.folder)
    for damage in verify(root)[1]:
        files, size = files + 1, size + damage.path.stat().st_size
        damage.path.unlink(missing_ok=True)
    return files, size
