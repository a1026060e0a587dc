"""Columns of a million records: texts as numbers that stand for them, lists of counts side by side in one array.

A report holds its texts as categories in ascending order, which sort and group as the texts themselves do, and its
lists as Arrow does: every value of a column in one array, and where each row begins. A table made by hand may have
plain texts and lists; the functions here take either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.results.compact import narrow
from bench.utils.names import printable

Ints = NDArray[np.int64]


def compact(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame with its texts as categories and its lists as Arrow arrays."""
    columns: dict[str, Any] = {}
    small = narrow(table)
    for name in small.column_names:
        column = small[name]
        if pa.types.is_dictionary(column.type):
            columns[name] = _categories(column)
        elif pa.types.is_list(column.type) or pa.types.is_null(column.type):
            columns[name] = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([column.combine_chunks()])))
        else:
            columns[name] = column.to_pandas()
    # Not copied into one block for all numbers: the columns are put in order next, which copies them once already.
    return pd.DataFrame(columns, copy=False)


def _categories(column: pa.ChunkedArray) -> pd.Categorical:
    """Return texts, encoded chunk by chunk, as categories in ascending order."""
    unified = column.unify_dictionaries()
    texts = unified.chunk(0).dictionary.to_pylist() if unified.num_chunks else []
    ascending = sorted(texts)
    place = {text: number for number, text in enumerate(ascending)}
    # The last place is for null, which Arrow writes as no index at all.
    new = np.array([*(place[text] for text in texts), -1], dtype=np.int32)
    codes = [chunk.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False) for chunk in unified.chunks]
    return pd.Categorical.from_codes(new[np.concatenate(codes) if codes else []], pd.Index(ascending, dtype="str"))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a (small) frame with its categories as texts."""
    return frame.astype({name: "str" for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)})


def printable_texts(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the frame with control characters in some columns of texts as escapes, which nothing obeys."""
    changed = {}
    for name in names:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            texts = [printable(str(text)) for text in column.cat.categories]
            if texts != list(column.cat.categories) and len(set(texts)) == len(texts):
                changed[name] = column.cat.rename_categories(texts).cat.reorder_categories(sorted(texts))
    return frame.assign(**changed) if changed else frame


def ranks(column: pd.Series) -> Ints:
    """Return, for each value, the place of it among the sorted distinct values; -1 for null."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.is_monotonic_increasing:
        return np.asarray(column.cat.codes, dtype=np.int64)
    return np.asarray(pd.factorize(column, sort=True)[0], dtype=np.int64)


def mentions(column: pd.Series, text: str) -> NDArray[np.bool_]:
    """Return which values hold a text; null does not."""
    codes, values = pd.factorize(column)
    # The last place answers for the code -1 of null.
    return np.array([*(text in str(value) for value in values), False], dtype=bool)[codes]


def renamed(frame: pd.DataFrame, column: str, by: str, names: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Return the frame with new texts in a column where a pair of texts, in it and in another, has a new name."""
    first, texts = pd.factorize(frame[column], use_na_sentinel=False)
    second, others = pd.factorize(frame[by], use_na_sentinel=False)
    pairs, where = np.unique(first * len(others) + second, return_inverse=True)
    distinct = [(texts[pair // len(others)], others[pair % len(others)]) for pair in pairs]
    new = [names.get(pair, pair[0]) for pair in distinct]
    ascending = sorted(set(new))
    codes = np.array([ascending.index(name) for name in new])[where]
    return frame.assign(**{column: pd.Categorical.from_codes(codes, pd.Index(ascending, dtype="str"))})


def lengths(column: pd.Series) -> Ints:
    """Return the lengths of a column of lists [n]."""
    return np.diff(lists(column)[1])


def lists(column: pd.Series) -> tuple[NDArray[np.integer], Ints]:
    """Return the values of a column of lists in one array, and where each list begins, and the last ends, [n + 1]."""
    if isinstance(column.dtype, pd.ArrowDtype):
        whole = column.array.__arrow_array__()
        whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
        starts = whole.offsets.to_numpy().astype(np.int64)
        return whole.flatten().to_numpy(zero_copy_only=False), starts - starts[0]
    rows: Sequence[NDArray[np.int64]] = column.to_list()
    sizes = [len(row) for row in rows]
    return np.concatenate([*rows, np.zeros(0, dtype=np.int64)]).astype(np.int64), np.cumsum([0, *sizes])


def gather(starts: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return where the values of some lists are, one list after another, and how many are of each."""
    sizes = starts[rows + 1] - starts[rows]
    ends = np.cumsum(sizes)
    return np.arange(sizes.sum()) + np.repeat(starts[rows] - (ends - sizes), sizes), sizes
