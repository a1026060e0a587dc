"""Where versions lie: the rows of all versions once, and of each version which rows it has, under which labels."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.pack import decode_strings, encode_strings, read_arrays, row_names
from bench.data.versions.log import FOLDER
from bench.utils.atomic import replacing
from bench.utils.errors import BenchError, one_line
from bench.utils.hashing import file_digest
from bench.utils.tensor_files import write_tensors

_CHUNKS, _VERSIONS = "chunks", "versions"


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of a split, or of the texts.

    Attributes
    ----------
    chunks : tuple of str
        SHA-256 of the files that they lie in.
    chunk, row : int32 Tensor [n]
        Which of the files, and which row of it.
    labels : int32 Tensor [n]
        Class ids in this version.
    """

    chunks: tuple[str, ...]
    chunk: Tensor
    row: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def same(self, other: Part | None) -> bool:
        """Return whether another part has the same rows under the same labels, in the same order."""
        if other is None or self.chunks != other.chunks or len(self) != len(other):
            return False
        return all(torch.equal(getattr(self, what), getattr(other, what)) for what in ("chunk", "row", "labels"))

    def take(self, rows: np.ndarray) -> Part:
        """Return the rows at some positions, in their order."""
        at = torch.from_numpy(rows)
        return Part(self.chunks, self.chunk[at], self.row[at], self.labels[at])

    @staticmethod
    def concat(parts: Sequence[Part]) -> Part:
        """Return the rows of several, one after the other."""
        chunks = tuple(dict.fromkeys(name for part in parts for name in part.chunks))
        table = [torch.tensor([chunks.index(name) for name in part.chunks], dtype=torch.int32) for part in parts]
        return Part(
            chunks,
            torch.cat([names[part.chunk.long()] for names, part in zip(table, parts, strict=True)]),
            torch.cat([part.row for part in parts]),
            torch.cat([part.labels for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Version:
    """A pack as it was: its manifest without files, and its parts: splits by name, ``texts`` and ``prompts``.

    A split is called ``splits/NAME``.
    """

    manifest: Mapping[str, Any]
    parts: Mapping[str, Part]


def entries_of(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what a manifest says of the files of each part."""
    found = {f"splits/{name}": entry for name, entry in manifest["splits"].items()}
    return found | {part: manifest[part] for part in ("texts", "prompts") if manifest.get(part)}


def with_entries(manifest: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a manifest that names the files of each part."""
    splits = {part.removeprefix("splits/"): dict(e) for part, e in entries.items() if part.startswith("splits/")}
    others = {part: dict(e) for part, e in entries.items() if not part.startswith("splits/")}
    return {**manifest, "splits": splits, **others}


def without_entries(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest that names no files."""
    return {key: value for key, value in manifest.items() if key not in ("splits", "texts", "prompts")}


@dataclass(frozen=True, eq=False)
class Store:
    """The history folder of a pack."""

    folder: Path
    _read: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def _place(self) -> Path:
        return self.folder / FOLDER

    def found(self, manifest: Mapping[str, Any]) -> Version:
        """Return the version that lies in the pack's folder now, and keep its files."""
        parts = {}
        for name, entry in entries_of(manifest).items():
            if not self._chunk(entry["sha256"]).exists():
                # Checked first: a file under the hash of another would spoil the history for good.
                self._read[entry["sha256"]] = read_arrays(self.folder, entry)
                self._keep(self.folder / entry["file"], entry["sha256"])
            labels = self.arrays(entry["sha256"])["labels"].to(torch.int32)
            n = len(labels)
            at = torch.arange(n, dtype=torch.int32)
            parts[name] = Part((entry["sha256"],), torch.zeros(n, dtype=torch.int32), at, labels.clone())
        return Version(without_entries(manifest), parts)

    def add(self, tensors: Mapping[str, Tensor]) -> Part:
        """Keep further rows and return them as a part of their own."""
        place = self._place / _CHUNKS
        new = place / "new.safetensors"
        write_tensors(new, tensors, what="what is added")
        name = file_digest(new)
        new.replace(self._chunk(name))
        n = len(tensors["labels"])
        at = torch.arange(n, dtype=torch.int32)
        return Part((name,), torch.zeros(n, dtype=torch.int32), at, tensors["labels"].to(torch.int32))

    def _chunk(self, name: str) -> Path:
        return self._place / _CHUNKS / f"{name}.safetensors"

    def _keep(self, path: Path, name: str) -> None:
        kept = self._chunk(name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            # A file of a pack is replaced by another, never written into, so that one copy serves both.
            os.link(path, kept)
        except OSError:
            with replacing(kept) as temporary:
                shutil.copyfile(path, temporary)

    def arrays(self, name: str) -> dict[str, Tensor]:
        """Return the arrays of a file by its SHA-256, which is checked."""
        if name not in self._read:
            entry = {"file": f"{name}.safetensors", "sha256": name}
            try:
                self._read[name] = read_arrays(self._place / _CHUNKS, entry)
            except BenchError as error:
                said = str(error).partition(";")[0]
                raise BenchError(f"{said}; copy the whole history folder again") from None
        return self._read[name]

    def write(self, name: str, version: Version) -> None:
        """Keep which rows a version has."""
        about = {"manifest": version.manifest, "parts": [[key, part.chunks] for key, part in version.parts.items()]}
        tensors = {
            f"{number}.{what}": getattr(part, what)
            for number, part in enumerate(version.parts.values())
            for what in ("chunk", "row", "labels")
        }
        write_tensors(self._version(name), tensors, metadata={"about": json.dumps(about, default=str)})

    def _version(self, name: str) -> Path:
        return self._place / _VERSIONS / f"{name}.safetensors"

    def read(self, name: str) -> Version:
        """Return a version by its whole name.

        Raises
        ------
        BenchError
            If it is not kept, or damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = self._version(name)
        if not path.is_file():
            raise BenchError(
                f"the history of {self.folder} was cut: version {name} is in its log and not in its folder; copy the "
                "whole history folder again"
            )
        try:
            with safe_open(path, framework="pt") as stored:
                about = json.loads((stored.metadata() or {})["about"])
                parts = {}
                for number, (key, chunks) in enumerate(about["parts"]):
                    chunk, row, labels = (stored.get_tensor(f"{number}.{what}") for what in ("chunk", "row", "labels"))
                    parts[str(key)] = Part(tuple(map(str, chunks)), chunk, row, labels)
                return Version(dict(about["manifest"]), parts)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise BenchError(f"{path} is damaged ({one_line(error)}); copy the whole history folder again") from None

    def ids(self, name: str, part: Part) -> np.ndarray:
        """Return the ids of a part's rows, str [n]."""
        split = name.removeprefix("splits/")
        named = []
        for chunk in part.chunks:
            arrays = self.arrays(chunk)
            named.append(decode_strings(arrays["ids"]) if "ids" in arrays else row_names(split, len(arrays["x"])))
        found = np.zeros(len(part), dtype=f"U{max((a.dtype.itemsize // 4 for a in named), default=1)}")
        for number, ids in enumerate(named):
            here = (part.chunk == number).numpy()
            found[here] = ids[part.row[torch.from_numpy(here)].numpy()]
        return found

    def assembled(self, name: str, part: Part) -> dict[str, Tensor]:
        """Return the arrays of a part: what all of its files have, with ids."""
        several = [self.arrays(chunk) for chunk in part.chunks]
        # What was added as features alone has no hashes of its image's file.
        shared = set.intersection(*(set(arrays) for arrays in several)) - {"ids", "sources", "labels"}
        made: dict[str, Tensor] = {"labels": part.labels}
        for what in sorted(shared):
            first = several[0][what]
            out = first.new_empty(len(part), *first.shape[1:])
            for number, arrays in enumerate(several):
                here = part.chunk == number
                out[here] = arrays[what][part.row[here].long()].to(first.dtype)
            made[what] = out
        made["ids"] = encode_strings(self.ids(name, part).tolist())
        if all("sources" in arrays for arrays in several):
            sources = np.zeros(len(part), dtype=object)
            for number, arrays in enumerate(several):
                here = part.chunk == number
                sources[here.numpy()] = decode_strings(arrays["sources"])[part.row[here].numpy()]
            made["sources"] = encode_strings(sources.tolist())
        return made

    def vectors(self, part: Part, rows: np.ndarray) -> Tensor:
        """Return the features of some rows of a part, float32 [r, d]."""
        found = [
            self.arrays(part.chunks[int(part.chunk[row])])["x"][int(part.row[row])].float() for row in rows.tolist()
        ]
        return torch.stack(found) if found else torch.zeros(0, 1)
