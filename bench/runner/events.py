"""What happens in a run while it goes on, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results.run_folder import Files, Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """How a cell ended.

    Attributes
    ----------
    status : str
        ``ok``, ``skipped`` or ``failed``.
    reason : str or None
        Why it was skipped or what its method raised, on one line.
    error_type, traceback : str or None
        The class of what was raised, and where; None unless it failed.
    """

    cell: str
    status: str
    method: str
    dataset: str
    seed: int
    reason: str | None = None
    error_type: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Began:
    """A cell has begun."""

    cell: str
    what: str


@dataclass(frozen=True)
class Finished:
    """A cell has ended, well or not; without files if whoever computed it has written them."""

    cell: str
    files: Files | None
    summary: CellSummary


class FirstFailure(Exception):  # noqa: N818 - it ends a run that is to end there
    """A cell has failed in a run that stops at the first that does."""


def _quiet(text: str, count: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class RunLog:
    """Hears what happens in a run, and keeps how its cells ended.

    Attributes
    ----------
    show : callable
        Moves the progress bar: given what has begun, or "", and how many cells have ended.
    fail_fast : bool
        Whether a failed cell raises :class:`FirstFailure`.
    keep_records : bool
        Whether the records of cells are kept, besides being written.
    cells : list of CellSummary
        In the order in which they ended.
    records : dict of str to bytes
        The content of the record files by cell; not of those that a worker wrote itself.
    """

    show: Callable[[str, int], None] = _quiet
    fail_fast: bool = False
    keep_records: bool = False
    cells: list[CellSummary] = field(default_factory=list)
    records: dict[str, bytes] = field(default_factory=dict)

    def hear(self, event: Began | Finished, store: Store) -> None:
        """Take note of an event; the files that come with a cell that has ended are written first."""
        if isinstance(event, Began):
            self.show(event.what, 0)
            return
        if event.files is not None:
            store.put(event.cell, event.files)
            if self.keep_records:
                self.records[event.cell] = event.files.record
        self.cells.append(event.summary)
        self.show("", 1)
        if self.fail_fast and event.summary.status == "failed":
            raise FirstFailure


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What came of a run.

    Attributes
    ----------
    folder : Path
        The run's folder.
    planned : int
        How many cells the run has.
    resumed : int
        How many of them an earlier command had finished.
    skipped, failed : tuple of CellSummary
        Those that were skipped, by an earlier command too, and those that failed.
    stopped : bool
        Whether the run ended at its first failure, and others were not computed.
    records : DataFrame or None
        All rows, if they were asked for, as :func:`bench.results.run_folder.read_records` returns them.
    """

    folder: Path
    planned: int
    resumed: int
    skipped: tuple[CellSummary, ...]
    failed: tuple[CellSummary, ...]
    stopped: bool = False
    records: pd.DataFrame | None = None


def in_words(cells: Iterable[CellSummary]) -> list[str]:
    """Return a line for those that ended alike: the method, the data set, the seeds of failed ones, and the reason."""
    seeds: dict[tuple[str, str, str, str], list[int]] = {}
    for one in cells:
        kind = f"{one.error_type}: " if one.error_type not in (None, "BenchError") else ""
        seeds.setdefault((one.status, one.method, one.dataset, f"{kind}{one.reason}"), []).append(one.seed)
    lines = []
    for (status, method, dataset, reason), numbers in sorted(seeds.items()):
        several = sorted(set(numbers))
        which = f", seed{'s' * (len(several) > 1)} {', '.join(map(str, several))}" if status == "failed" else ""
        lines.append(f"{status} {method} on {dataset}{which}: {reason}")
    return lines
