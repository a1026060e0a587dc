"""Reading runs for a report: one table of records, what was skipped, and what a reader must be warned of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.reports import names, progress
from bench.reports.columns import compact, mentions, plain, ranks, renamed
from bench.reports.episodes import fingerprints, independent
from bench.reports.oracle import mark
from bench.reports.settings import TOLD, with_settings
from bench.results.compact import narrow
from bench.results.consolidated import read_joined, record_files
from bench.results.run_folder import read_manifest, read_predictions, runs_below
from bench.results.schema import COLUMNS, combined, read_tables
from bench.utils.errors import BenchError

GROUP = ["scenario", "dataset", "condition"]
"""What makes two results comparable; a table and a figure are about one such group."""

CELL = [*GROUP, "method", "seed"]
"""What a result is about: one method in one group with one seed."""

RESULT = [
    *("scenario", TOLD, "dataset", "features_fingerprint", "condition"),
    *("method", "method_params", "seed"),
]
"""What makes two cells of different runs the same result."""

UNREAD = (
    *("support_fingerprint", "memory_fingerprint", "support_items"),
    *("search_details", "index_seconds"),
)
"""Columns of the records that no part of a report reads."""

_AT_ONCE = 20_000
"""Rows that are read before they are made small."""


@dataclass(frozen=True, eq=False)
class RunInfo:
    """One run's folder and how far it got."""

    folder: Path
    manifest: dict[str, Any]
    cells: frozenset[str]

    @property
    def finished(self) -> int:
        """Number of cells that are there; a skipped one is."""
        return len(self.cells)

    @property
    def planned(self) -> int:
        """Number of cells the run will have."""
        return int(self.manifest.get("cells", self.finished))


@dataclass(frozen=True, eq=False)
class Loaded:
    """Records ready to report on.

    Attributes
    ----------
    records : DataFrame
        One row a finished session, in an order that does not depend on files; texts and lists are as in
        :mod:`bench.reports.columns`.
    skipped : DataFrame
        One row a skipped cell, with its reason.
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
    skipped: pd.DataFrame
    runs: tuple[RunInfo, ...]
    warnings: tuple[str, ...]
    class_names: names.ClassNames
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
            known = self.predicted[str(run)]
            for cell in part["cell"]:
                if cell in known:
                    by_folder.setdefault(known[cell], []).append(cell)
        parts = [read_predictions(folder, sorted(there)) for folder, there in by_folder.items()]
        parts = [part for part in parts if len(part)]
        if not parts:
            return read_predictions(self.runs[0].folder, [])
        order = ["cell", "session", "query"]
        return pd.concat(parts, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)


def load(folders: Sequence[Path]) -> Loaded:
    """Return the records of all runs at or below some folders.

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
    found = sorted({path.resolve() for runs in below.values() for path in runs})
    infos, tables = [], []
    for folder in found:
        manifest = read_manifest(folder)
        parts = list(_read(folder))
        others = {run for part in parts for run in part["run"].unique().to_pylist()} - {str(manifest.get("run"))}
        if others:
            raise BenchError(
                f"{folder} is the folder of run {manifest.get('run')} and holds records of run "
                f"{', '.join(map(str, others))}; move those to a folder with their own run.json"
            )
        cells = frozenset(cell for part in parts for cell in part["cell"].unique().to_pylist())
        infos.append(RunInfo(folder, manifest, cells))
        created = str(manifest.get("created", ""))
        tables += [part.append_column("created", _repeated(created, len(part))) for part in parts]
    if not tables:
        places = ", ".join(str(folder) for folder in found)
        raise BenchError(f"no finished cell in {places} yet; go on with the same `bench run`, then report again")
    frame = compact(pa.concat_tables(tables, promote_options="permissive"))
    del tables
    said = list(progress.unfinished(infos, frame[["run", "cell", "method", "dataset", "seed"]]))
    frame, repeated = _newest(_join_experiments(with_settings(frame)), len(infos))
    frame = _label(frame, "method", "method_params", GROUP)
    frame = mark(frame)
    frame = _label(frame, "scenario", TOLD, ["dataset", "condition"])
    own = frame["dataset"]
    frame = _name_datasets(frame)
    shown = plain(pd.DataFrame({"run": frame["run"], "own": own, "shown": frame["dataset"]}).drop_duplicates())
    used = set(shown.itertuples(index=False, name=None))
    class_names = names.of_runs({str(info.manifest["run"]): info.manifest for info in infos}, used)
    done = _sorted(frame, "ok", [*CELL, "session", "cell"])
    skipped = _sorted(frame, "skipped", [*CELL, "cell"])
    if not len(done):
        raise BenchError(f"nothing to report, since every cell was skipped: {'; '.join(_skips(skipped))}")
    done = done.astype({"session": "int64", "n_queries": "int64", "n_correct": "int64"})
    runs = tuple(sorted(infos, key=lambda info: tuple(str(info.manifest.get(k)) for k in ("run", "shard", "created"))))
    if repeated:
        which = "1 cell is" if repeated == 1 else f"{repeated} cells are"
        said.append(f"{which} in several runs (of other settings, code, device or search); the newest are shown")
    predicted = progress.predicted(runs)
    said += progress.unpredicted(done, predicted)
    return Loaded(done, skipped, runs, (*said, *record_warnings(done, skipped)), class_names, predicted)


def _read(folder: Path) -> Iterator[pa.Table]:
    """Yield the records of a run, some files at a time, with texts and lists made small."""
    joined = read_joined(folder, UNREAD)
    if joined is not None:
        yield joined
        return
    columns = {name: about for name, about in COLUMNS.items() if name not in UNREAD}
    waiting: list[pa.Table] = []
    paths = record_files(folder)
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


def _sorted(frame: pd.DataFrame, status: str, order: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a status in order; all is moved once, since it is large."""
    rows = np.flatnonzero(frame["status"] == status)
    keys = [ranks(frame[name])[rows] for name in reversed(order)]
    rows = rows[np.lexsort(keys)]
    in_place = len(rows) == len(frame) and bool((rows == np.arange(len(rows))).all())
    return frame if in_place else frame.take(rows).reset_index(drop=True)


def _join_experiments(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with all experiments that asked for a result in ``experiment``, separated by spaces."""
    asked = frame[[*RESULT, "experiment"]].dropna(subset="experiment").drop_duplicates()
    if not asked.duplicated(RESULT).any():
        return frame
    joined = asked.sort_values("experiment").groupby(RESULT)["experiment"].agg(" ".join).reset_index()
    return frame.drop(columns="experiment").merge(joined, on=RESULT, how="left")


def _newest(frame: pd.DataFrame, folders: int) -> tuple[pd.DataFrame, int]:
    """Return the frame with each result once, from the run created last, and how many cells were dropped."""
    if folders == 1:
        # A folder has each result once; looking for repetitions is for several.
        return frame, 0
    what = [*RESULT, "session"]
    order = [*what, "created", "run"]
    frame = frame.sort_values(order, kind="stable", ignore_index=True)
    kept = frame.drop_duplicates(what, keep="last")
    same = frame.drop_duplicates([*what, "cell"])
    return kept, int(same["cell"].nunique() - kept["cell"].nunique())


def _label(frame: pd.DataFrame, label: str, params: str, within: Sequence[str]) -> pd.DataFrame:
    """Add to a label the parameters that tell apart two things which have it in common and would be compared."""
    changed = {}
    kinds = frame.groupby([label, *within])[params].nunique()
    meeting = set(kinds.index.get_level_values(0)[kinds > 1])
    for name, values in frame.groupby(label, sort=True)[params].unique().items():
        if name not in meeting:
            continue
        parsed = {value: json.loads(value) for value in sorted(values)}
        keys = sorted({key for settings in parsed.values() for key in settings})
        differ = [k for k in keys if len({json.dumps(settings.get(k)) for settings in parsed.values()}) > 1]
        for value, settings in parsed.items():
            changed[str(name), value] = f"{name}:{','.join(f'{k}={settings.get(k)}' for k in differ)}"
    if not changed:
        return frame
    return renamed(frame, label, params, changed)


def _name_datasets(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the head of the fingerprint to the name of data sets that share a name but not their content."""
    kinds = frame.groupby("dataset")["features_fingerprint"].nunique()
    shared = set(kinds.index[kinds > 1])
    if not shared:
        return frame
    pairs = plain(frame[["dataset", "features_fingerprint"]].drop_duplicates())
    told = {(d, f): f"{d}@{f[:6]}" for d, f in pairs.itertuples(index=False, name=None) if d in shared}
    return renamed(frame, "dataset", "features_fingerprint", told)


def record_warnings(done: pd.DataFrame, skipped: pd.DataFrame) -> list[str]:
    """Return what the records themselves warn of: skips, adapted methods, oracle budgets, searches, seeds."""
    said = list(_skips(skipped))
    adapted = sorted(done.loc[done["fidelity"] == "adapted", "method"].unique())
    if adapted:
        said.append(f"adapted, not faithful to their papers: {', '.join(adapted)} (see `bench list methods`)")
    oracle = sorted(done.loc[done["selection"] == "oracle", "method"].unique())
    if oracle:
        said.append(f"chose hyperparameters on the queries themselves (oracle), so no fair figure: {', '.join(oracle)}")
    over = sorted(done.loc[mentions(done["details"], '"over_budget": true'), "method"].unique())
    if over:
        said.append(f"carried more than the budget in bytes, so not compared at equal memory: {', '.join(over)}")
    said += _approximate(done)
    groups: dict[tuple[str, ...], dict[str, tuple[int, ...]]] = {}
    for key, values in done.groupby([*GROUP, "method"], sort=True)["seed"]:
        *group, method = (str(part) for part in key)
        groups.setdefault(tuple(group), {})[method] = tuple(sorted(set(values.tolist())))
    if any(len(set(methods.values())) > 1 for methods in groups.values()):
        said.append("methods have unequal seeds; means are over each method's own, comparisons over the shared ones")
    said += _seed_warnings(done, groups)
    return said


def _approximate(done: pd.DataFrame) -> Iterator[str]:
    """Yield a line an approximate search: how many of the neighbours it found at worst, and who asked it."""
    told = done.loc[done["search_recall"].notna(), ["search", "method", "search_recall"]]
    for search, part in told.groupby("search", sort=True):
        methods = ", ".join(sorted(part["method"].unique()))
        yield (
            f"neighbours were searched approximately ({search}) for {methods}: in the worst session it found "
            f"{100 * part['search_recall'].min():.4g} % of the exact ones"
        )


def _skips(skipped: pd.DataFrame) -> Iterator[str]:
    """Yield a line a method and reason: where it was skipped, and why."""
    # A reason can name counts that differ by seed and by data set: one of them stands for all.
    told = plain(skipped[["method", "reason", "dataset"]])
    alike = told["reason"].str.replace(r"\d+", "#", regex=True)
    for (method, _), part in told.groupby(["method", alike], sort=True):
        where = ", ".join(sorted(part["dataset"].unique()))
        yield f"{method} was skipped on {where}: {min(part['reason'])}"


def _seed_warnings(done: pd.DataFrame, groups: dict[tuple[str, ...], dict[str, tuple[int, ...]]]) -> list[str]:
    """Return what is to be said of too few seeds; episodes are enough of a sample, but not of trainings."""
    apart = done[done["cell"].isin(independent(done))]
    dealt = set(apart[GROUP].drop_duplicates().itertuples(index=False, name=None))
    counts, of_episodes = (
        [(method, len(s)) for key, methods in groups.items() if (key in dealt) == e for method, s in methods.items()]
        for e in (False, True)
    )
    fewest = min((n for _, n in counts), default=0)
    said = []
    if any(n == 1 for _, n in of_episodes):
        said.append("one seed of few-shot episodes: the interval shown is over its episodes alone")
    if fewest == 1:
        alone = sorted({method for method, n in counts if n == 1})
        whose = f" of {', '.join(alone)}" if any(n > 1 for _, n in counts) else ""
        said.append(f"one seed{whose}: there is no interval over seeds, the interval shown is over queries alone")
    elif 1 < fewest < 5:
        said.append(f"few seeds ({fewest}): intervals are wide and small differences stay undecided")
    return said
