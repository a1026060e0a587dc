"""Records of runs that grow while they are looked at: what was read is read again only where it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from bench.reports.records.run_table import UNREAD, read_files
from bench.results.consolidated import read_joined, record_files

Stamps = dict[str, tuple[int, int]]
"""By file name its size and time."""

_PIECES = 16
"""Tables of one run from which on they are put together."""


def stamps_of(folder: Path) -> Stamps:
    """Return the record files of a run; none for a folder that is not there."""
    try:
        entries = list(os.scandir(folder / "records"))
        return {e.name: (e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name.endswith(".parquet")}
    except FileNotFoundError:
        # A file that goes between the two is the failure of a cell that is finished now: the next look sees it.
        return {}


@dataclass(eq=False)
class _Known:
    stamps: Stamps = field(default_factory=dict)
    tables: list[pa.Table] = field(default_factory=list)


class RecordReader:
    """Reads the records of runs, and of a run that grew the new files alone."""

    def __init__(self) -> None:
        self._known: dict[Path, _Known] = {}

    def __call__(self, folder: Path) -> Iterator[pa.Table]:
        """Yield the records of a run as :func:`bench.reports.records.run_table.read_parts` does."""
        paths = record_files(folder)
        all_stamps = stamps_of(folder)
        stamps = {path.name: all_stamps[path.name] for path in paths if path.name in all_stamps}
        known = self._known.get(folder)
        if known is None or any(stamps.get(name) != stamp for name, stamp in known.stamps.items()):
            known = _Known()
        if not known.stamps and (joined := read_joined(folder, UNREAD)) is not None:
            known.tables = [joined]
        else:
            new = [path for path in paths if path.name not in known.stamps]
            known.tables += read_files(folder, new)
            if len(known.tables) > _PIECES:
                known.tables = [pa.concat_tables(known.tables, promote_options="permissive").combine_chunks()]
        known.stamps = stamps
        self._known[folder] = known
        yield from known.tables

    def keep(self, folders: Sequence[Path]) -> None:
        """Let go of the records of all other runs."""
        self._known = {folder: known for folder, known in self._known.items() if folder in set(folders)}
