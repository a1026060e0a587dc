"""What is shared: a folder's files with their hashes, as a list that travels with them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bench.utils.errors import BenchError
from bench.utils.hashing import file_digest
from bench.utils.json_text import parse_json
from bench.utils.names import name_fault, printable, shown

LIST = "bench-files.json"
"""The name of the list beside the files."""
FORMAT = 1
MOST_FILES = 200_000
LARGEST_LIST = 64 * 2**20
"""Bytes of a list."""
_LARGEST = 1 << 50
"""Bytes of a file; no disk holds one."""

_KINDS = {"run": "run.json", "pack": "pack.yaml", "classifier": "classifier.yaml"}
"""What a folder of each kind holds."""


@dataclass(frozen=True)
class Entry:
    """One file: its SHA-256 and its bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a folder by their names below it, with ``/`` between folders, and what the folder is."""

    kind: str
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> str:
        """Return the list as it is stored; equal folders give equal texts."""
        files = {name: {"sha256": entry.sha256, "bytes": entry.size} for name, entry in sorted(self.files.items())}
        return json.dumps({"format": FORMAT, "kind": self.kind, "files": files}, indent=1) + "\n"

    @classmethod
    def of_folder(cls, folder: Path) -> Listing:
        """Return the list of a folder's files; hidden ones, which are half-written or the system's, are left out.

        Raises
        ------
        BenchError
            If the folder is no run, folder of runs, pack or classifier, or holds a link that leads out of it or to a
            folder, what is no file, or a file whose name no other system takes.
        """
        if not folder.is_dir():
            raise BenchError(f"{folder} is no folder; give a run, a folder of runs, a pack or a classifier")
        kind = next((kind for kind, file in _KINDS.items() if (folder / file).is_file()), None)
        if kind is None and any(folder.glob("*/run.json")):
            kind = "runs"
        if kind is None:
            raise BenchError(f"{folder} is no run, folder of runs, pack or classifier; give one")
        files = {}
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            # A link to a folder is not followed, so that what lies behind it would be missing unseen.
            links = [name for name in below if Path(place, name).is_symlink()]
            for name in (*links, *sorted(names)):
                path = Path(place, name)
                relative = path.relative_to(folder).as_posix()
                if name.startswith(".") or relative == LIST:
                    continue
                _require_pushable(path, folder)
                files[relative] = Entry(file_digest(path), path.stat().st_size)
        return cls(kind, files)

    @classmethod
    def of_json(cls, text: str, where: str) -> Listing:
        """Return a list that was stored; everything in it is checked, since it may be a stranger's.

        Raises
        ------
        BenchError
            If it is damaged, of a newer version, or names a file outside its folder.
        """
        try:
            content = parse_json(text)
            if content["format"] > FORMAT:
                raise BenchError(f"{where} was pushed by a newer version; upgrade retrieval-bench to pull it")
            files = {str(name): _entry(entry) for name, entry in content["files"].items()}
            kind = str(content["kind"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(
                f"the list of {where} is damaged ({type(error).__name__}); push it again with --replace"
            ) from None
        if kind not in (*_KINDS, "runs") or not files or len(files) > MOST_FILES:
            raise BenchError(f"the list of {where} is of nothing that can be pulled; push it again")
        for name in files:
            _require_below(name, where)
            if not files.keys().isdisjoint(map(str, PurePosixPath(name).parents)):
                raise BenchError(f"the list of {where} has {shown(name)} below a file; do not pull it")
        return cls(kind, files)


def _require_pushable(path: Path, folder: Path) -> None:
    where = printable(str(path))
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()) or not path.is_file():
            raise BenchError(f"{where} is a link out of the folder or to a folder, or no file; copy what it stands for")
    except (OSError, RuntimeError):
        raise BenchError(f"{where} is a link to nothing; remove it, then push again") from None
    fault = name_fault(path.name, longest=255)
    if fault:
        raise BenchError(f"the name of {where} {fault}, and nobody could pull it; rename it, then push again")


def _entry(content: Any) -> Entry:
    sha256, size = content["sha256"], content["bytes"]
    if (
        type(size) is not int
        or not 0 <= size < _LARGEST
        or len(sha256) != 64
        or not set(sha256) <= set("0123456789abcdef")
    ):
        raise ValueError("an entry is no hash with a size")
    return Entry(sha256, size)


def _require_below(name: str, where: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or "/".join(parts) != name or any(name_fault(part, longest=255) is not None for part in parts):
        raise BenchError(f"the list of {where} names the file {shown(name)}, which no folder may hold; do not pull it")
