"""The folder of a run: its settings and its finished cells.

``run.json`` says what the run is; ``records/<cell>.parquet`` holds one row a session and
``predictions/<cell>.parquet`` one row a query. A cell's predictions are written first and its record last, each whole
or not at all: a cell is finished when, and only when, its record is there. One that failed leaves
``records/<cell>.failed.parquet``, which goes when the cell is tried again and finishes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results.checks import require_own_cell
from bench.results.consolidated import FAILED, read_joined, record_files
from bench.results.run_json import NAME, read_manifest
from bench.results.schema import COLUMNS, PREDICTION_COLUMNS, combined, exact, read_tables, to_parquet
from bench.utils.atomic import sweep, write_atomically
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA, __version__

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

STATES = "states"
"""Folder of a run that holds trained weights, one file a cell, where they are kept."""


@dataclass(frozen=True)
class Files:
    """The content of a cell's files; one that was skipped or failed has no predictions, few have trained weights."""

    record: bytes
    predictions: bytes | None
    trained: bytes | None = None
    failed: bool = False


def encode(rows: Sequence[Mapping[str, Any]], predictions: Mapping[str, Sequence[Any]] | None) -> Files:
    """Return a cell's rows, and its predictions by column, as files; what a row does not name is null."""
    table = {name: [row.get(name) for row in rows] for name in COLUMNS}
    return Files(
        record=to_parquet(table, COLUMNS),
        predictions=to_parquet(predictions, PREDICTION_COLUMNS) if predictions is not None else None,
    )


class Store:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, manifest: dict[str, Any]) -> bool:
        """Create the folder, or continue in it if it holds the same run; return whether it is new."""
        path = self.folder / NAME
        if path.exists():
            known = read_manifest(self.folder)
            if known["run"] != manifest["run"]:
                raise BenchError(f"{self.folder} holds another run ({known['run']}); choose another --out")
            for place in (self.folder, *(self.folder / part for part in ("records", "predictions", STATES))):
                sweep(place)
            return False
        content = {"schema": SCHEMA, "version": __version__, **manifest}
        write_atomically(path, json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")
        return True

    def leave(self) -> None:
        """Remove the folder again if it holds nothing but what :meth:`open` wrote."""
        if [path.name for path in self.folder.iterdir()] == [NAME]:
            (self.folder / NAME).unlink()
            self.folder.rmdir()

    def finished(self) -> set[str]:
        """Return the cells that need not run again."""
        return {path.stem for path in record_files(self.folder) if not path.stem.endswith(FAILED)}

    def failed(self) -> set[str]:
        """Return the cells that failed and have not been finished since."""
        stems = [path.stem for path in record_files(self.folder)]
        return {stem.removesuffix(FAILED) for stem in stems if stem.endswith(FAILED)}

    def put(self, cell: str, files: Files) -> None:
        """Write the files of a cell, its record last."""
        for part, path in self._paths(cell, failed=files.failed).items():
            content = getattr(files, part)
            if content is not None:
                write_atomically(path, content)
        if not files.failed:
            self._paths(cell, failed=True)["record"].unlink(missing_ok=True)

    def get(self, cell: str) -> Files:
        """Return the files of a cell that is finished or has failed."""
        failed = not self._paths(cell)["record"].exists()
        paths = self._paths(cell, failed=failed)
        record = paths.pop("record").read_bytes()
        others = {part: path.read_bytes() if path.exists() else None for part, path in paths.items()}
        return Files(record, others["predictions"], others["trained"], failed)

    def _paths(self, cell: str, *, failed: bool = False) -> dict[str, Path]:
        return {
            "trained": self.folder / STATES / f"{cell}.safetensors",
            "predictions": self.folder / "predictions" / f"{cell}.parquet",
            "record": self.folder / "records" / f"{cell}{FAILED if failed else ''}.parquet",
        }


def read_table(folder: Path, without: Collection[str] = ()) -> pa.Table | None:
    """Return the records of one run in no order, without some columns, or None if it has no record yet.

    Raises
    ------
    BenchError
        If a file is damaged, or is of another schema.
    """
    wanted = {name: about for name, about in COLUMNS.items() if name not in without}
    joined = read_joined(folder, without)
    if joined is not None:
        return exact(joined, wanted, "records", folder)
    tables = read_tables(record_files(folder), without)
    return combined(tables, wanted, "records", folder) if tables else None


def read_records(folder: Path) -> pd.DataFrame:
    """Return the records of one run as a DataFrame, in the order of method, data set, condition, seed, session.

    Raises
    ------
    BenchError
        If a file is damaged, or is of another schema.
    """
    return in_order(read_table(folder))


def in_order(table: pa.Table | None) -> pd.DataFrame:
    """Return records as a DataFrame, in the order of :func:`read_records`; no table is no row."""
    import numpy as np
    import pandas as pd

    if table is None:
        return pd.DataFrame({name: [] for name in COLUMNS})
    frame: pd.DataFrame = table.to_pandas()
    # Sorted by whole numbers that stand for the sorted values: a million strings are compared once, not at every step.
    order = ["scenario", "dataset", "condition", "seed", "method", "session"]
    codes = [pd.factorize(frame[name], sort=True)[0] for name in reversed(order)]
    return frame.take(np.lexsort(codes)).reset_index(drop=True)


def together(folder: Path, earlier: pa.Table | None, later: Sequence[bytes]) -> pa.Table | None:
    """Return the records of a run as one table: those that were there, and the contents of record files since."""
    import pyarrow as pa

    tables = read_tables([io.BytesIO(content) for content in later])
    parts = [] if earlier is None else [earlier]
    parts += [combined(tables, COLUMNS, "records", folder)] if tables else []
    return pa.concat_tables(parts, promote_options="permissive") if parts else None


def runs_below(folder: Path) -> list[Path]:
    """Return the folders of all runs at or below a folder, sorted."""
    if (folder / NAME).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/run.json"))


def read_predictions(folder: Path, cells: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the predictions of a run, of all cells or of some, one row a query."""
    import pandas as pd

    names = sorted(path.stem for path in (folder / "predictions").glob("*.parquet")) if cells is None else cells
    paths = [path for name in names if (path := folder / "predictions" / f"{name}.parquet").exists()]
    tables = read_tables(paths)
    for path, table in zip(paths, tables, strict=True):
        require_own_cell(table, path, path.stem)
    if not tables:
        return pd.DataFrame({name: [] for name in PREDICTION_COLUMNS})
    frame: pd.DataFrame = combined(tables, PREDICTION_COLUMNS, "predictions", folder).to_pandas()
    return frame
