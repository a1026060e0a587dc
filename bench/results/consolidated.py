"""All records of a large run in one file, since to open a file a cell takes longer than to read what it holds.

The files of the cells remain what the run is. This one repeats them and says which they were, by name, size and time;
where one of them is no longer as it was, it is not used. It ends in the SHA-256 of all before, and is not used where
that is another.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results.checks import record_fault
from bench.results.compact import narrow
from bench.results.schema import COLUMNS, combined, read_tables
from bench.utils.atomic import write_atomically
from bench.utils.texts import require_regular
from bench.utils.version import SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "records.arrow"
"""Name of the file in a run's folder."""

_FROM = 1000
"""Cells from which a run gets one; fewer are read in a second or two."""

_ORDER = ("scenario", "dataset", "condition", "method", "seed", "session", "cell")
"""What a report sorts by, so that it finds the rows in place."""

_MADE_OF = b"retrieval_bench_made_of"
_DIGEST = hashlib.sha256().digest_size

FAILED = ".failed"
"""What the name of a failed cell's record has after the cell's."""


def record_files(folder: Path) -> list[Path]:
    """Return the records of a run, a file a cell, sorted by name; that of a failure only until the cell is finished."""
    paths = {path.stem: path for path in sorted((folder / "records").glob("*.parquet"))}
    return [path for stem, path in paths.items() if not stem.endswith(FAILED) or stem.removesuffix(FAILED) not in paths]


def write_joined(folder: Path) -> None:
    """Write the file of a run with many cells, unless a true one is there; a damaged record raises BenchError."""
    import pyarrow as pa

    paths = record_files(folder)
    if len(paths) < _FROM or _true_content(folder) is not None:
        return
    made_of = _made_of(folder)
    parts = [
        narrow(combined(read_tables(paths[start : start + _FROM]), COLUMNS, "records", folder))
        for start in range(0, len(paths), _FROM)
    ]
    table = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries().combine_chunks()
    table = table.take(_in_order(table)).replace_schema_metadata({_MADE_OF: made_of})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    content = sink.getvalue()
    write_atomically(folder / NAME, content + hashlib.sha256(content).digest())


def _in_order(table: pa.Table) -> pa.Array:
    """Return the rows in the order of a report; null comes first."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = []
    for name in reversed(_ORDER):
        (values,) = table[name].chunks
        if pa.types.is_dictionary(values.type):
            # Arrow sorts texts, but no dictionaries of them.
            values = pc.rank(values.dictionary, tiebreaker="dense").take(values.indices)
        keys.append(values.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False))
    return pa.array(np.lexsort(keys))


def read_joined(folder: Path, without: Collection[str] = ()) -> pa.Table | None:
    """Return the records of a run, without some columns and as :func:`bench.results.compact.narrow` leaves them.

    None if there is no such file, or one that is damaged or not of the records that are there.
    """
    import pyarrow as pa

    content = _true_content(folder)
    if content is None:
        return None
    try:
        names = pa.ipc.open_file(content).schema.names
        fields = [number for number, name in enumerate(names) if name not in without]
        table = pa.ipc.open_file(content, options=pa.ipc.IpcReadOptions(included_fields=fields)).read_all()
        # A hash says that nothing was damaged, and not who wrote it: what it holds is not believed unseen.
        table.validate(full=True)
        fault = record_fault(table)
    except (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException):
        return None
    return None if fault else table.replace_schema_metadata()


def _true_content(folder: Path) -> pa.Buffer | None:
    """Return what a file holds that says it was made of the records that are there, and is as it was written."""
    import pyarrow as pa

    try:
        require_regular(folder / NAME)
        whole = (folder / NAME).read_bytes()
        content = memoryview(whole)[:-_DIGEST]
        if hashlib.sha256(content).digest() != whole[-_DIGEST:]:
            return None
        told = pa.ipc.open_file(pa.py_buffer(content)).schema.metadata or {}
        return pa.py_buffer(content) if told.get(_MADE_OF) == _made_of(folder) else None
    except (OSError, ValueError, MemoryError, pa.ArrowException):
        return None


def _made_of(folder: Path) -> bytes:
    """Return what a true file says it was made of: the version's columns, and each record's name, size and time."""
    found = sorted((entry.name, entry.stat()) for entry in os.scandir(folder / "records"))
    lines = [f"{name} {about.st_size} {about.st_mtime_ns}" for name, about in found if name.endswith(".parquet")]
    return hashlib.sha256("\n".join([str(SCHEMA), *COLUMNS, *lines]).encode()).hexdigest().encode()
