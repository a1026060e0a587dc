"""Tables of numbers as files: CSV and Parquet bytes."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.utils.spreadsheets import inert


@dataclass(frozen=True, eq=False)
class DataFile:
    """A file of numbers in the report's folder.

    Attributes
    ----------
    name : str
        Its name without its ending.
    frame : DataFrame
    parquet : bool
        Whether it is there as Parquet too.
    """

    name: str
    frame: pd.DataFrame
    parquet: bool = False

    def files(self) -> dict[str, bytes]:
        """Return its bytes by file name."""
        files = {f"{self.name}.csv": csv_bytes(self.frame)}
        return files | ({f"{self.name}.parquet": parquet_bytes(self.frame)} if self.parquet else {})


def exact_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV with all digits of its numbers, and texts that no spreadsheet computes."""
    texts = {str(name): _inert_column(column) for name, column in table.items()}
    heads = {name: inert(str(name)) for name in table.columns}
    return table.assign(**texts).rename(columns=heads).to_csv(index=False, lineterminator="\n").encode()


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV: shares with six decimals, empty for what was not measured."""
    texts = {
        str(name): _six_decimals(column) if column.dtype == np.float64 else _inert_column(column)
        for name, column in table.items()
    }
    heads = {name: inert(str(name)) for name in table.columns}
    return table.assign(**texts).rename(columns=heads).to_csv(index=False, lineterminator="\n").encode()


def _inert_column(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype) and isinstance(column.cat.categories.dtype, pd.StringDtype):
        texts = [inert(text) for text in column.cat.categories]
        return column if texts == list(column.cat.categories) else column.astype(object).map(inert, na_action="ignore")
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        return column.map(lambda value: inert(value) if isinstance(value, str) else value)
    return column


def _six_decimals(column: pd.Series) -> NDArray[np.object_]:
    # Costs repeat and many were not measured: each number is written once. Equal are equal bits, so -0 is not 0.
    codes, bits = pd.factorize(np.ascontiguousarray(column.to_numpy()).view(np.int64))
    numbers = bits.view(np.float64).tolist()
    return np.array(["" if math.isnan(number) else f"{number:.6f}" for number in numbers], dtype=object)[codes]


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet; a column that holds words beside numbers is text."""
    mixed = {
        str(column): table[column].map(str, na_action="ignore")
        for column in table
        if table[column].dtype == object and len(set(table[column].dropna().map(type))) > 1
    }
    made = pa.Table.from_pandas(table.assign(**mixed), preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    pq.write_table(made, sink, compression="zstd")
    return sink.getvalue()
