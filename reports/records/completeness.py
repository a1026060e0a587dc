"""Completeness of runs: which cells unfinished runs still lack, so that no table is taken for complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.run_info import RunInfo


def unfinished(runs: Sequence[RunInfo], cells: pd.DataFrame) -> Iterator[str]:
    """Yield a line a run that lacks cells: how many, and which methods, data sets and seeds have fewest.

    Folders of one run are counted together: they are its shards, or copies of it. A cell that was skipped or failed
    is there.

    Parameters
    ----------
    runs : sequence of RunInfo
    cells : DataFrame
        ``run``, ``cell``, ``method``, ``dataset`` and ``seed`` of every record, by the names that the run gives them.
    """
    by_run: dict[str, list[RunInfo]] = {}
    for info in runs:
        by_run.setdefault(str(info.manifest["run"]), []).append(info)
    for run, parts in sorted(by_run.items()):
        manifest = parts[0].manifest
        planned = int(manifest.get("cells_of_all_shards", parts[0].planned))
        there = frozenset().union(*(part.cells for part in parts))
        if len(there) >= planned:
            continue
        clauses = [f"run {run} is not finished: {len(there)} of {planned} cells are there"]
        own = plain(cells[(cells["run"] == run).to_numpy()].drop_duplicates("cell"))
        clauses += _lacking(manifest, own, planned)
        shards = sorted(str(part.manifest["shard"]) for part in parts if "shard" in part.manifest)
        clauses += [f"these are its shards {', '.join(shards)} alone"] if shards else []
        yield "; ".join(clauses)


def _lacking(manifest: Mapping[str, Any], cells: pd.DataFrame, planned: int) -> Iterator[str]:
    """Yield what has no cell at all, then which methods have fewer than others; an older manifest names nothing."""
    methods = [str(entry["label"]) for entry in manifest.get("methods", [])]
    expected = {
        "method": methods,
        "data set": [str(card["name"]) for card in manifest.get("datasets", [])],
        "seed": [str(seed) for seed in manifest.get("seeds", [])],
    }
    columns = {"method": "method", "data set": "dataset", "seed": "seed"}
    for what, names in expected.items():
        none = _absent(names, cells[columns[what]])
        if none:
            yield f"no cell yet of {what if len(none) == 1 else f'{what}s'} {', '.join(none)}"
    counts = cells["method"].value_counts()
    most = int(counts.max()) if len(counts) else 0
    fewer = [f"{name} {counts[name]}" for name in methods if 0 < counts.get(name, 0) < most]
    if fewer:
        yield f"fewer cells than of other methods ({most} of {planned // len(methods)}): {', '.join(fewer)}"


def _absent(names: Iterable[str], there: pd.Series) -> list[str]:
    present = set(there.astype("str"))
    return [name for name in names if name not in present]


def predicted(runs: Sequence[RunInfo], homes: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Return where the predictions of each cell are; a folder is listed once, not asked for a million files.

    ``homes`` are the folders of the records of cells that may be in several: their predictions are taken from there.
    """
    folders: dict[str, dict[str, Path]] = {}
    for run in runs:
        there = folders.setdefault(str(run.manifest["run"]), {})
        for path in (run.folder / "predictions").glob("*.parquet"):
            if homes.get(path.stem, run.folder) == run.folder or path.stem not in there:
                there[path.stem] = run.folder
    return folders


def unpredicted(done: pd.DataFrame, where: Mapping[str, Mapping[str, Path]]) -> Iterator[str]:
    """Yield a line if cells have no predictions: how many, of which methods, and what they are missing from."""
    cells = plain(done[["run", "cell", "method"]].drop_duplicates("cell"))
    without = cells[[cell not in where[run] for run, cell in zip(cells["run"], cells["cell"], strict=True)]]
    if len(without):
        methods = ", ".join(sorted(set(without["method"])))
        yield (
            f"{len(without)} of {len(cells)} cells have no predictions ({methods}): they are in no paired comparison, "
            "and intervals of their methods are over seeds alone"
        )
