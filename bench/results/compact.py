"""Tables of records in as few bytes as hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_FEW = 1000
"""Rows of a piece that is small."""


def narrow(table: pa.Table) -> pa.Table:
    """Return a table with its texts as dictionaries and its lists of whole numbers in as few bytes as hold them.

    Lists of class ids and counts are most of what records are, texts repeat, and many numbers are not measured, which
    takes no bytes at all: what is read is made small at once, since touching memory is what takes the time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type):
            # Of small files there are many pieces, each of which would get a dictionary of its own.
            small = column.num_chunks * _FEW > len(column)
            columns[name] = (column.combine_chunks() if small else column).dictionary_encode()
        elif pa.types.is_list(column.type):
            columns[name] = column.cast(pa.list_(_fewest_bytes(pc.list_flatten(column))))
        elif pa.types.is_primitive(column.type) and column.null_count == len(column):
            columns[name] = pa.nulls(len(column))
        else:
            columns[name] = column
    return pa.table(columns)


def _fewest_bytes(values: pa.ChunkedArray) -> pa.DataType:
    """Return the smallest signed type that holds some whole numbers: one that holds -1 - n holds n."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.min_max(values).as_py()
    return pa.from_numpy_dtype(np.min_scalar_type(min(ends["min"] or 0, -1 - (ends["max"] or 0))))
