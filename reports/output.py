"""A report's files: bytes of a table, and a folder that holds this report's files and none of the one before."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

WRITTEN = "report-files.json"
"""The file that names every file of the report with the SHA-256 of its content."""


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV: shares with six decimals, empty for what was not measured."""
    texts = {str(name): _six_decimals(column) for name, column in table.items() if column.dtype == np.float64}
    return table.assign(**texts).to_csv(index=False, lineterminator="\n").encode()


def _six_decimals(column: pd.Series) -> NDArray[np.object_]:
    # Costs repeat and many were not measured: each number is written once. Equal are equal bits, so -0 is not 0.
    codes, bits = pd.factorize(np.ascontiguousarray(column.to_numpy()).view(np.int64))
    numbers = bits.view(np.float64).tolist()
    return np.array(["" if math.isnan(number) else f"{number:.6f}" for number in numbers], dtype=object)[codes]


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet; a column that holds words beside numbers is text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mixed = {
        str(column): table[column].map(str, na_action="ignore")
        for column in table
        if table[column].dtype == object and len(set(table[column].dropna().map(type))) > 1
    }
    made = pa.Table.from_pandas(table.assign(**mixed), preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    pq.write_table(made, sink, compression="zstd")
    return sink.getvalue()


def publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the files, named relative to ``out``, and remove those that an earlier report wrote and this one does not.

    A file is removed only if an earlier report names it and it still is what that report wrote.

    Raises
    ------
    BenchError
        If the folder cannot be written to, or its list of files is damaged.
    """
    before = _written(out / WRITTEN)
    now = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    # A report that is stopped half-way leaves both lists, so that the next one still knows what to remove.
    _remember(out, {**before, **now})
    for name, content in files.items():
        write_atomically(out / name, content)
    for name in sorted(set(before) - set(now)):
        path = out / name
        if _inside(path, out) and path.is_file() and _sha256(path) == before[name]:
            path.unlink()
    _remember(out, now)


def _written(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(content) for name, content in found.items()}
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise BenchError(f"{path.parent} is, or lies in, a file and no folder; choose another --out") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is damaged ({error}); delete the folder, or choose another --out") from None


def _remember(out: Path, files: Mapping[str, str]) -> None:
    text = json.dumps({"files": dict(files)}, indent=1, sort_keys=True)
    write_atomically(out / WRITTEN, text + "\n")


def _inside(path: Path, folder: Path) -> bool:
    """Return whether a path, links followed, lies in a folder: a list may have been edited."""
    return path.resolve().is_relative_to(folder.resolve())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
