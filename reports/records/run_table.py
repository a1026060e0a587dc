"""Reading runs: one table of records, the cells without answers, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.reports.records import class_names, completeness
from bench.reports.records.arrow_columns import compact, plain, printable_texts, ranks
from bench.reports.records.few_shot_episodes import fingerprints
from bench.reports.records.keys import CELL, GROUP
from bench.reports.records.labels import join_experiments, label_datasets, label_settings, newest
from bench.reports.records.missing_parts import label_missing
from bench.reports.records.oracle import mark
from bench.reports.records.repetitions import HOME, contradictions, require_single
from bench.reports.records.run_info import RunInfo
from bench.reports.records.scenario_settings import TOLD, with_settings
from bench.reports.records.sees import mark_sees
from bench.reports.records.warnings import record_warnings, unanswered_lines
from bench.results.checks import require_agreement
from bench.results.compact import narrow
from bench.results.consolidated import read_joined, record_files
from bench.results.run_folder import read_predictions, runs_below
from bench.results.run_json import read_manifest
from bench.results.schema import COLUMNS, combined, read_tables
from bench.utils.errors import BenchError

UNREAD = (
    *("support_fingerprint", "memory_fingerprint", "support_items"),
    *("search_details", "index_seconds", "traceback"),
)
"""Columns of the records that no part of a report reads."""

NAMES = ("method", "method_name", "scenario", "dataset", "encoder", "reason", "error_type", "experiment", "selection")
"""Columns of texts that are shown as they are."""

_COUNTED = ["cell", "session", "classes", "class_total", "class_correct"]
"""Columns that predictions are held against."""

_AT_ONCE = 20_000
"""Rows that are read before they are made small."""


@dataclass(frozen=True, eq=False)
class RunTable:
    """Records ready to report on.

    Attributes
    ----------
    records : DataFrame
        One row a finished session, in an order that does not depend on files; texts and lists are as in
        :mod:`bench.reports.records.arrow_columns`.
    unanswered : DataFrame
        One row a cell that was skipped or failed, with its reason.
    runs : tuple of RunInfo
        Sorted by the run's identity.
    warnings : tuple of str
        What a reader must know before believing a number.
    class_names : mapping
        By data set, the names of its classes by id; a data set whose runs do not name them is not in it.
    predicted : mapping
        By run, the cells that have predictions, each with its folder: a run has several if these are its shards.
    """

    records: pd.DataFrame
    unanswered: pd.DataFrame
    runs: tuple[RunInfo, ...]
    warnings: tuple[str, ...]
    class_names: class_names.ClassNames
    predicted: Mapping[str, Mapping[str, Path]]

    @cached_property
    def _homes(self) -> pd.DataFrame:
        """The run each cell is of."""
        return self.records[["run", "cell"]].drop_duplicates("cell")

    @cached_property
    def queries(self) -> dict[str, str]:
        """By cell, the hash of its queries; equal ones pair."""
        return fingerprints(self.records)

    def predictions(self, cells: Sequence[str]) -> pd.DataFrame:
        """Return the predictions of some cells, one row a query, sorted by cell, session and query."""
        by_folder: dict[Path, list[str]] = {}
        for run, part in self._homes[self._homes["cell"].isin(cells)].groupby("run", sort=True):
            folder_of = self.predicted[str(run)]
            for cell in part["cell"]:
                if cell in folder_of:
                    by_folder.setdefault(folder_of[cell], []).append(cell)
        parts = []
        for folder, there in by_folder.items():
            part = read_predictions(folder, sorted(there))
            # A run that is looked at can be removed meanwhile.
            if len(part):
                require_agreement(self.records.loc[self.records["cell"].isin(there), _COUNTED], part, folder)
                parts.append(part)
        if not parts:
            return read_predictions(self.runs[0].folder, [])
        order = ["cell", "session", "query"]
        return pd.concat(parts, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)


def read_runs(folders: Sequence[Path], read: Callable[[Path], Iterable[pa.Table]] | None = None) -> RunTable:
    """Return the records of all runs at or below some folders.

    Parameters
    ----------
    folders : sequence of Path
    read : callable, optional
        Gives the records of a run's folder, as :func:`read_parts` does, for who reads runs again and again.

    Raises
    ------
    BenchError
        If a folder has no run, there is no record of an answer, a file is damaged, or a run was written by a newer
        version of the schema.
    """
    below = {folder: runs_below(folder) for folder in folders}
    without = ", ".join(str(folder) for folder, runs in below.items() if not runs)
    if without:
        raise BenchError(f"no run in {without}; make one with `bench run`, or name the folder given to its --out")
    run_folders = sorted({path.resolve() for runs in below.values() for path in runs})
    infos, tables = [], []
    for folder in run_folders:
        manifest = read_manifest(folder)
        parts = list((read or read_parts)(folder))
        others = {run for part in parts for run in part["run"].unique().to_pylist()} - {str(manifest.get("run"))}
        if others:
            raise BenchError(
                f"{folder} is the folder of run {manifest.get('run')} and holds records of run "
                f"{', '.join(map(str, others))}; move those to a folder with their own run.json"
            )
        cells = frozenset(cell for part in parts for cell in part["cell"].unique().to_pylist())
        infos.append(RunInfo(folder, manifest, cells))
        created = str(manifest.get("created", ""))
        home = pa.scalar(len(infos) - 1, pa.int32())
        tables += [
            part.append_column("created", _repeated(created, len(part))).append_column(HOME, pa.repeat(home, len(part)))
            for part in parts
        ]
    if not tables:
        places = ", ".join(str(folder) for folder in run_folders)
        raise BenchError(f"no finished cell in {places} yet; go on with the same `bench run`, then report again")
    frame = compact(pa.concat_tables(tables, promote_options="permissive"))
    del tables
    frame = printable_texts(frame, NAMES)
    require_single(frame, infos)
    warnings = list(completeness.unfinished(infos, frame[["run", "cell", "method", "dataset", "seed"]]))
    warnings += contradictions(frame, infos)
    frame, repeated = newest(join_experiments(with_settings(frame)), len(infos))
    frame = label_settings(frame, "method", "method_params", GROUP)
    frame = mark_sees(mark(label_missing(frame)))
    frame = label_settings(frame, "scenario", TOLD, ["dataset", "condition"])
    own = frame["dataset"]
    frame = label_datasets(frame)
    shown = plain(pd.DataFrame({"run": frame["run"], "own": own, "shown": frame["dataset"]}).drop_duplicates())
    used = set(shown.itertuples(index=False, name=None))
    names = class_names.of_runs({str(info.manifest["run"]): info.manifest for info in infos}, used)
    ok = (frame["status"] == "ok").to_numpy()
    done = _sorted(frame, ok, [*CELL, "session", "cell"])
    unanswered = _sorted(frame, ~ok, [*CELL, "cell"])
    if not len(done):
        every = "was skipped" if (unanswered["status"] == "skipped").all() else "was skipped or failed"
        raise BenchError(f"nothing to report, since every cell {every}: {'; '.join(unanswered_lines(unanswered))}")
    done = done.astype({"session": "int64", "n_queries": "int64", "n_correct": "int64"})
    runs = tuple(sorted(infos, key=lambda info: tuple(str(info.manifest.get(k)) for k in ("run", "shard", "created"))))
    if repeated:
        which = "1 cell is" if repeated == 1 else f"{repeated} cells are"
        warnings.append(f"{which} in several runs (of other settings, code, device or search); the newest are shown")
    predicted = completeness.predicted(runs, _homes(done, infos))
    warnings += completeness.unpredicted(done, predicted)
    return RunTable(done, unanswered, runs, (*warnings, *record_warnings(done, unanswered)), names, predicted)


def _homes(done: pd.DataFrame, infos: Sequence[RunInfo]) -> dict[str, Path]:
    """Return the folder of each cell's record."""
    cells = plain(done[["cell", HOME]].drop_duplicates("cell")) if len(infos) > 1 else done.iloc[:0]
    return {str(cell): infos[home].folder for cell, home in zip(cells["cell"], cells[HOME], strict=True)}


def read_parts(folder: Path) -> Iterator[pa.Table]:
    """Yield the records of a run, some files at a time, with texts and lists made small."""
    joined = read_joined(folder, UNREAD)
    if joined is not None:
        yield joined
        return
    yield from read_files(folder, record_files(folder))


def read_files(folder: Path, paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Yield the records in some files of a run, as :func:`read_parts` does."""
    columns = {name: about for name, about in COLUMNS.items() if name not in UNREAD}
    waiting: list[pa.Table] = []
    rows = 0
    for path in paths:
        waiting += read_tables([path], UNREAD)
        rows += len(waiting[-1])
        if rows >= _AT_ONCE or path == paths[-1]:
            yield narrow(combined(waiting, columns, "records", folder).select([*columns]))
            waiting, rows = [], 0


def _repeated(text: str, times: int) -> pa.DictionaryArray:
    """Return a text for each of some rows, as a dictionary of one."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([text]))


def _sorted(frame: pd.DataFrame, mask: NDArray[np.bool_], order: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a mask in order; all is moved once, since it is large."""
    rows = np.flatnonzero(mask)
    keys = [ranks(frame[name])[rows] for name in reversed(order)]
    rows = rows[np.lexsort(keys)]
    in_place = len(rows) == len(frame) and bool((rows == np.arange(len(rows))).all())
    return frame if in_place else frame.take(rows).reset_index(drop=True)
