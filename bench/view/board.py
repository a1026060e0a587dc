"""What the page shows of runs: read in the background, read again where they grew, and never written to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports.records.paired_predictions import Group
from bench.reports.records.run_table import RunTable, read_runs
from bench.results.run_folder import runs_below
from bench.results.run_json import NAME
from bench.utils.errors import BenchError, one_line
from bench.utils.names import printable
from bench.view.leaderboard import Key, cells_alone, columns_of, group_of, measured, quick_means, records_of, rows_of
from bench.view.progress import progress_of
from bench.view.reading import RecordReader, Stamps, stamps_of

_FIRST, _BREATH = 1.0, 0.02
"""Seconds before the first intervals are computed, and between those of two tables."""
_HELD = 4
"""Groups whose predictions are held."""
_PAUSE = 20.0
"""How many times as long as a look at the folders takes it is before the next one."""


@dataclass(eq=False)
class Snapshot:
    """Runs as they were at one moment.

    Attributes
    ----------
    number : int
        Larger for a later one.
    runs : list of dict
        What :func:`bench.view.progress.progress_of` says of each.
    messages : list of str
        What is wrong: a run that is gone, a damaged file, nothing finished yet.
    table : RunTable or None
        None where there is nothing to show yet.
    rows : dict
        By group the rows of the leaderboard; they are replaced as intervals are computed.
    waiting : int
        Groups whose intervals are still to come.
    """

    number: int
    signature: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    table: RunTable | None = None
    rows: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    waiting: int = 0


class Board:
    """Watches runs.

    Parameters
    ----------
    folders : sequence of Path
        Runs, or folders of runs: those that appear in them later are shown too.
    clock : callable
        Seconds, from any start.

    Raises
    ------
    BenchError
        If there is no run at or below one of the folders.
    """

    def __init__(self, folders: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        without = ", ".join(str(folder) for folder in folders if not runs_below(folder))
        if without:
            raise BenchError(f"no run in {without}; make one with `bench run`, or name the folder given to its --out")
        self._folders, self._clock = list(folders), clock
        self._reader = RecordReader()
        self._lock = threading.Lock()
        self._reading = False
        self._next_look = -1.0
        self._seen: dict[Path, None] = {}
        self._pause = threading.Event()
        self._measured: dict[tuple[Key, str], list[dict[str, Any]]] = {}
        self._groups: OrderedDict[tuple[int, Key], Group] = OrderedDict()
        self.now = Snapshot(0, "")

    @property
    def reading(self) -> bool:
        """Whether runs are being read."""
        return self._reading

    def look(self) -> Snapshot:
        """Return what is known, and have what changed since read in the background."""
        with self._lock:
            if self._reading or self._clock() < self._next_look:
                return self.now
            start = self._clock()
            found = self._found()
            signature = _signature(found)
            self._next_look = self._clock() + max(0.5, _PAUSE * (self._clock() - start))
            if signature != self.now.signature:
                self._reading = True
                threading.Thread(target=self._read, args=(found, signature), daemon=True).start()
            return self.now

    def settle(self, seconds: float = 60.0) -> Snapshot:
        """Return what is known once all that is there was read and measured, without pauses for others."""
        end = time.monotonic() + seconds
        self._pause.set()
        self.look()
        while (self._reading or self.now.waiting) and time.monotonic() < end:
            time.sleep(0.02)
        return self.now

    def group(self, key: Key) -> tuple[Snapshot, Group]:
        """Return the predictions of one group.

        Raises
        ------
        BenchError
            If there is none, or its files are gone or damaged.
        """
        now = self.now
        if now.table is None or key not in now.rows:
            raise BenchError("the runs have no such scenario, data set and condition any more; load the page again")
        with self._lock:
            held = self._groups.get((now.number, key))
        if held is None:
            held = group_of(now.table, key)
            with self._lock:
                self._groups[now.number, key] = held
                while len(self._groups) > _HELD:
                    self._groups.popitem(last=False)
        return now, held

    def leaderboard(self) -> dict[str, Any]:
        """Return the rows and columns of the leaderboard; see :func:`bench.view.leaderboard.rows_of`."""
        now = self.now
        rows = [row for key in list(now.rows) for row in now.rows[key]]
        return {"number": now.number, "waiting": now.waiting, "columns": columns_of(rows), "rows": rows}

    # -- reading ---------------------------------------------------------------------------------------------------

    def _found(self) -> dict[Path, Stamps | None]:
        """Return the record files of each run; None for a run that was there and is gone."""
        there = {path.resolve() for folder in self._folders for path in runs_below(folder)}
        self._seen.update(dict.fromkeys(sorted(there)))
        return {path: stamps_of(path) if path in there else None for path in self._seen}

    def _stands(self, made: Snapshot) -> bool:
        """Return whether the record files are still those that a snapshot is of."""
        with self._lock:
            return _signature(self._found()) == made.signature

    def _read(self, found: dict[Path, Stamps | None], signature: str) -> None:
        made = Snapshot(self.now.number + 1, signature)
        try:
            self._fill(made, found)
        except BenchError as error:
            made.messages.append(one_line(error, longest=600))
        except Exception as error:
            # The thread is not to end in silence, and the page not to wait for it.
            made.messages.append(f"the runs cannot be read: {type(error).__name__}: {one_line(error)}")
        made.messages = [printable(message) for message in made.messages]
        with self._lock:
            self.now, self._reading = made, False
        # The page is shown first: what computes here makes what answers there wait.
        self._pause.wait(_FIRST)
        self._measure(made)

    def _fill(self, made: Snapshot, found: dict[Path, Stamps | None]) -> None:
        gone = [path for path, stamps in found.items() if stamps is None]
        made.messages += [f"the run {path.name} is gone: its folder was removed or renamed" for path in gone]
        readable = []
        for path, stamps in found.items():
            if stamps is None or not (path / NAME).is_file():
                continue
            try:
                made.runs.append(progress_of(path, list(self._reader(path)), stamps))
                readable.append(path)
            except BenchError as error:
                # A file that is being removed or replaced is no damage; the next look reads what is there then.
                if self._stands(made):
                    made.messages.append(one_line(error, longest=600))
        self._reader.keep(readable)
        if not any(run["ok"] for run in made.runs):
            if made.runs:
                made.messages.append("no cell has an answer yet; this page shows results as soon as there are some")
            return
        made.table = read_runs(readable, self._reader)
        made.rows = {
            key: self._measured.get((key, cells)) or rows_of(part, {}, complete=False)
            for key, cells, part in _by_group(made.table, quick_means(cells_alone(made.table.records)))
        }
        made.waiting = sum(not rows[0]["complete"] for rows in made.rows.values())

    def _measure(self, made: Snapshot) -> None:
        """Compute the intervals of all groups, one by one, unless there is a later snapshot."""
        if made.table is None:
            return
        cells = dict(_cells_by_group(made.table))
        for key in [key for key, rows in made.rows.items() if not rows[0]["complete"]]:
            if self.now is not made:
                return
            self._pause.wait(_BREATH)
            try:
                records = records_of(made.table, key)
                rows = rows_of(*measured(group_of(made.table, key), records), complete=True)
                self._measured[key, cells[key]] = rows
                made.rows[key] = rows
            except (BenchError, OSError) as error:
                if self._stands(made):
                    made.messages.append(printable(f"no intervals: {one_line(error, longest=600)}"))
            made.waiting -= 1
        self._measured = {entry: rows for entry, rows in self._measured.items() if cells.get(entry[0]) == entry[1]}


def _cells_by_group(table: RunTable) -> list[tuple[Key, str]]:
    """Return, by group, what tells its cells apart from those of another moment."""
    frame = table.records[["scenario", "dataset", "condition", "cell"]].drop_duplicates("cell").astype("str")
    return [
        ((str(key[0]), str(key[1]), str(key[2])), hashlib.sha256("\n".join(sorted(part["cell"])).encode()).hexdigest())
        for key, part in frame.groupby(["scenario", "dataset", "condition"], sort=True)
    ]


def _by_group(table: RunTable, means: pd.DataFrame) -> list[tuple[Key, str, pd.DataFrame]]:
    parts = dict(list(means.groupby(["scenario", "dataset", "condition"], sort=True)))
    return [(key, cells, parts[key]) for key, cells in _cells_by_group(table)]


def _signature(found: dict[Path, Stamps | None]) -> str:
    text = repr([(str(path), None if stamps is None else sorted(stamps.items())) for path, stamps in found.items()])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
