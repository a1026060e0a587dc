"""The history of a pack: its versions by content, what lies between two, and edits that are logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.dataset import Dataset
from bench.data.manifest import read_manifest
from bench.data.pack import described, write_arrays, write_manifest
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.data.versions.log import Action, Entry, moment, now, read_log, write_log
from bench.data.versions.store import Part, Store, Version, entries_of, with_entries, without_entries
from bench.utils.errors import BenchError
from bench.utils.names import expand

SHORT = 12
"""Digits of a version's name: of the fingerprint of its data set, which the records of runs hold too."""


@dataclass(frozen=True)
class Item:
    """An item that differs between two versions.

    Attributes
    ----------
    part : str
        ``splits/NAME`` or ``texts``.
    change : str
        ``added``, ``removed``, ``relabelled``, or ``replaced`` (another vector under the same id).
    before, after : str or None
        The name of its class.
    """

    part: str
    id: str
    change: str
    before: str | None
    after: str | None


class History:
    """The versions of one pack; after an edit, make another.

    Parameters
    ----------
    folder : Path
        The pack's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = expand(folder)
        self.manifest = read_manifest(self.folder)
        self.store = Store(self.folder)
        self.log = read_log(self.folder)

    @cached_property
    def head(self) -> str:
        """The name of the version that lies in the folder."""
        return resolve(self.folder).fingerprint[:SHORT]

    @cached_property
    def current(self) -> Version:
        """The version that lies in the folder."""
        if any(entry.version == self.head for entry in self.log):
            return self.store.read(self.head)
        return self.store.found(self.manifest)

    @property
    def class_names(self) -> list[str]:
        """The names of all classes, by id."""
        return [str(name) for name in self.manifest["classes"]]

    def named(self, name: str) -> str:
        """Return the whole name of a version, of which the first digits suffice.

        Raises
        ------
        BenchError
            If there is none, or several begin so.
        """
        known = list(dict.fromkeys([*(entry.version for entry in self.log), self.head]))
        found = [version for version in known if version.startswith(name)] if name else []
        if len(found) == 1:
            return found[0]
        if found:
            raise BenchError(f"{len(found)} versions of {self.folder} begin with {name!r}; give more of its digits")
        raise BenchError(f"{self.folder} has no version {name!r}; `bench memory log {self.folder}` names them")

    def as_of(self, time: str) -> str:
        """Return the version that the log had made by a time; a day counts to its end, UTC."""
        until = moment(time)
        if not self.log:
            raise BenchError(f"{self.folder} has no history; it begins with its first edit by `bench memory`")
        past = [entry for entry in self.log if moment(entry.time) <= until]
        if not past:
            raise BenchError(
                f"the history of {self.folder} begins {self.log[0].time}, after {time}; what was before is not known"
            )
        return past[-1].version

    def version(self, name: str) -> Version:
        """Return a version by its whole name."""
        return self.current if name == self.head else self.store.read(name)

    def dataset(self, version: Version) -> Dataset:
        """Return the data set of a version; nothing is written."""
        arrays = {name: self.store.assembled(name, part) for name, part in version.parts.items()}
        manifest = with_entries(version.manifest, {name: {"file": name, "sha256": ""} for name in arrays})
        return described(self.folder, manifest, resolve, lambda _, entry: arrays[entry["file"]])

    def diff(self, before: Version, after: Version) -> list[Item]:
        """Return the items that differ, by part and id; class texts are not items."""
        found: list[Item] = []
        empty = Part((), torch.zeros(0, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0))
        old_names, new_names = ([str(n) for n in v.manifest["classes"]] for v in (before, after))
        for name in sorted({*before.parts, *after.parts} - {"prompts"}):
            one, two = before.parts.get(name, empty), after.parts.get(name, empty)
            here, there = (
                {i: row for row, i in enumerate(self.store.ids(name, part).tolist())} if len(part) else {}
                for part in (one, two)
            )
            for item in sorted({*here, *there}):
                old, new = here.get(item), there.get(item)
                was = None if old is None else old_names[int(one.labels[old])]
                is_ = None if new is None else new_names[int(two.labels[new])]
                if old is None or new is None:
                    found.append(Item(name, item, "added" if old is None else "removed", was, is_))
                elif not self._same_row(one, old, two, new):
                    found.append(Item(name, item, "replaced", was, is_))
                elif was != is_:
                    found.append(Item(name, item, "relabelled", was, is_))
        return found

    def _same_row(self, one: Part, old: int, two: Part, new: int) -> bool:
        place = one.chunks[int(one.chunk[old])], int(one.row[old])
        if place == (two.chunks[int(two.chunk[new])], int(two.row[new])):
            return True
        first, second = (self.store.vectors(part, np.array([row])) for part, row in ((one, old), (two, new)))
        return torch.equal(first, second)

    def checkout(self, name: str) -> None:
        """Put a version into the pack's folder, at one moment; the log stays as it is."""
        if name != self.head:
            version = self.store.read(name)
            self._begun()
            manifest, _ = self._written(version)
            write_manifest(self.folder, manifest)

    def export(self, name: str, out: Path) -> None:
        """Write a version as a pack of its own, without its history."""
        version, out = self.version(name), expand(out)
        if out.resolve() == self.folder.resolve():
            raise BenchError(f"{out} is the pack itself; leave --out out to put the version there")
        arrays = {part: self.store.assembled(part, rows) for part, rows in version.parts.items()}
        written = {part: write_arrays(out, part.rpartition("/")[2], tensors) for part, tensors in arrays.items()}
        write_manifest(out, with_entries(version.manifest, written))

    def commit(self, version: Version, action: Action, items: int, **about: str) -> Entry:
        """Put a new version into the pack's folder and log it.

        The log is written before the manifest: whoever is stopped between the two runs the same command again.

        Parameters
        ----------
        items : int
            How many items the edit is of.
        about : str
            ``reason``, ``source``, ``licence``, ``chunk`` and ``what`` of the entry.

        Raises
        ------
        BenchError
            If nothing would change, or the new version is no data set.
        """
        log = self._begun()
        manifest, name = self._written(version)
        if name == self.head:
            raise BenchError("nothing would change: the pack is as it is to be")
        manifest["revision"] = name
        if log[-1].parent == self.head and log[-1].version == name:
            # Logged by a command that was stopped before it came to the manifest.
            log = log[:-1]
        self.store.write(name, Version(without_entries(manifest), version.parts))
        entry = Entry(
            before=log[-1].entry, time=now(), action=action, version=name, parent=self.head, items=items, **about
        ).sealed()
        write_log(self.folder, (*log, entry))
        write_manifest(self.folder, manifest)
        return entry

    def _written(self, version: Version) -> tuple[dict[str, Any], str]:
        """Write the arrays of a version beside those of the pack; return its manifest and its name."""
        there = entries_of(self.manifest)
        entries = {
            name: there[name]
            if name in there and part.same(self.current.parts.get(name))
            else write_arrays(self.folder, name.rpartition("/")[2], self.store.assembled(name, part))
            for name, part in version.parts.items()
        }
        manifest = with_entries(version.manifest, entries)
        dataset = described(self.folder, manifest, resolve)
        dataset.check()
        return manifest, dataset.fingerprint[:SHORT]

    def _begun(self) -> tuple[Entry, ...]:
        """Return the log, which has an entry for what lies in the folder now."""
        if any(entry.version == self.head for entry in self.log):
            return self.log
        version = self.current
        self.store.write(self.head, version)
        since = datetime.fromtimestamp((self.folder / MANIFEST).stat().st_mtime, UTC)
        entry = Entry(
            before=self.log[-1].entry if self.log else "",
            time=since.isoformat(timespec="seconds"),
            action="outside" if self.log else "begin",
            version=self.head,
            parent=self.log[-1].version if self.log else "",
            items=sum(len(part) for name, part in version.parts.items() if name != "prompts"),
        ).sealed()
        self.log = (*self.log, entry)
        write_log(self.folder, self.log)
        return self.log
