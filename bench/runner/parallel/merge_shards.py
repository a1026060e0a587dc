"""``bench merge``: the shards of one run, put together as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.results.consolidated import write_joined
from bench.results.run_folder import Store, read_predictions, runs_below
from bench.results.run_json import read_manifest
from bench.runner.parallel.work_units import Shard
from bench.utils.errors import BenchError

_OF_A_SHARD = ("shard", "cells_of_all_shards", "cells", "created", "version", "schema")
"""What ``run.json`` says of one shard and not of the run, or says anew of each folder."""


def merge(folders: Sequence[Path], out: Path) -> tuple[Path, int]:
    """Write the run that some shards are parts of, and return its folder and the number of its cells.

    Cells that failed are part of it; `bench run` without `--shard` tries them again there.

    Parameters
    ----------
    folders : sequence of Path
        Folders of shards, or folders that hold them.
    out : Path
        Folder that runs are kept in.

    Raises
    ------
    BenchError
        If the folders are shards of different runs, a cell is in two of them, or cells are missing.
    """
    shards = {folder.resolve(): folder for given in folders for folder in _shards(given)}
    manifests = {folder: read_manifest(folder) for folder in shards.values()}
    for folder, manifest in manifests.items():
        if "shard" not in manifest:
            raise BenchError(f"{folder} is a whole run, not a shard; merge takes what `bench run --shard` wrote")
    first, one = next(iter(manifests.items()))
    count = _part(one).count
    for folder, manifest in manifests.items():
        if manifest["run"] != one["run"]:
            raise BenchError(f"{first} and {folder} are shards of different runs; merge those of one run")
        if _part(manifest).count != count:
            raise BenchError(f"{first} is one of {count} shards, {folder} one of {_part(manifest).count}; give one set")
    found: dict[str, Path] = {}
    for folder in manifests:
        for cell in sorted(_cells(folder)):
            if cell in found:
                raise BenchError(f"cell {cell} is in {found[cell]} and in {folder}; give each shard once")
            found[cell] = folder
    planned = int(one["cells_of_all_shards"])
    if len(found) < planned:
        raise BenchError(
            f"{planned - len(found)} of {planned} cells are missing ({_missing(manifests)}); run them first"
        )
    target = out / first.resolve().name.removesuffix(f"-{_part(one).number}of{count}")
    store = Store(target)
    created = min(str(manifest["created"]) for manifest in manifests.values())
    whole = {key: value for key, value in one.items() if key not in _OF_A_SHARD}
    store.open({**whole, "cells": planned, "created": created})
    there = store.finished()
    for cell, folder in found.items():
        if cell not in there:
            store.put(cell, Store(folder).get(cell))
        elif not _same_answers(Store(folder), store, cell):
            raise BenchError(f"cell {cell} has other answers in {folder} than in {target}; remove one of them")
    write_joined(target)
    return target, planned


def _same_answers(one: Store, other: Store, cell: str) -> bool:
    """Return whether a cell has the same predictions in two folders; what failed in the first says nothing."""
    if cell not in one.finished():
        return True
    first, second = (read_predictions(store.folder, [cell]) for store in (one, other))
    key = ["session", "query"]
    return bool(first.sort_values(key, ignore_index=True).equals(second.sort_values(key, ignore_index=True)))


def _shards(given: Path) -> list[Path]:
    found = runs_below(given)
    if not found:
        raise BenchError(f"no run in {given}; name folders that `bench run --shard` wrote")
    return found


def _cells(folder: Path) -> set[str]:
    """Return the cells of a shard that ended, well or not."""
    return Store(folder).finished() | Store(folder).failed()


def _part(manifest: Mapping[str, Any]) -> Shard:
    return Shard.parse(str(manifest["shard"]))


def _missing(manifests: Mapping[Path, Mapping[str, Any]]) -> str:
    parts = {_part(manifest) for manifest in manifests.values()}
    count = next(iter(parts)).count
    absent = [str(part) for part in (Shard(n, count) for n in range(1, count + 1)) if part not in parts]
    left = {folder: manifest["cells"] - len(_cells(folder)) for folder, manifest in manifests.items()}
    unfinished = [f"{cells} of shard {_part(manifests[folder])}" for folder, cells in left.items() if cells]
    return ", ".join([*(f"all of shard {part}" for part in absent), *unfinished])
