"""Arrow's arrays from plain values, without ``pyarrow.array``, which imports pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**31 - 1
"""Bytes of text, and numbers of lists, in one array: offsets have 32 bits."""


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values, None for null, as an array of a type: the same as ``pyarrow.array``, and refused as there.

    Made here are the types of records, of values that have just that type; for everything else ``pyarrow.array`` is
    asked.
    """
    import pyarrow as pa

    parts = None
    if pa.types.is_list(kind):
        parts = _lists(values, kind)
    elif pa.types.is_string(kind):
        parts = _texts(values)
    elif (known := _NUMBERS.get(str(kind))) is not None:
        parts = _numbers(values, *known)
    if parts is None:
        return pa.array(values, type=kind)
    valid, *buffers, children = parts
    missing = 0 if valid is None else len(valid) - int(np.count_nonzero(valid))
    validity = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    stored = [validity, *map(pa.py_buffer, buffers)]
    return pa.Array.from_buffers(kind, len(values), stored, null_count=missing, children=children)


_NUMBERS: dict[str, tuple[str, type]] = {
    "int64": ("iu", np.int64),
    "double": ("iuf", np.float64),
    "bool": ("b", np.bool_),
}
"""By type: the kinds of numpy's types that it holds exactly, and the one it is stored as."""


def _numbers(values: Sequence[Any], kinds: str, stored: type) -> tuple[Any, ...] | None:
    valid, filled = _known(values, False if stored is np.bool_ else 0)
    # Whole numbers from 2^63 on are of another kind; those from 2^53 on are no floating-point numbers.
    found = np.asarray(filled) if len(filled) else np.zeros(0, stored)
    if found.ndim != 1 or found.dtype.kind not in kinds or found.dtype == np.uint64:
        return None
    if stored is np.float64 and found.dtype.kind != "f" and len(found) and np.abs(found).max() > 2**53:
        return None
    made: Any = np.ascontiguousarray(found, dtype=stored)
    return valid, np.packbits(made, bitorder="little") if stored is np.bool_ else made, []


def _texts(values: Sequence[Any]) -> tuple[Any, ...] | None:
    valid, filled = _known(values, "")
    if not isinstance(filled, list) or not all(type(value) is str for value in filled):
        return None
    encoded = [value.encode() for value in filled]
    offsets = _offsets([len(value) for value in encoded])
    return None if offsets is None else (valid, offsets, b"".join(encoded), [])


def _lists(values: Sequence[Any], kind: pa.DataType) -> tuple[Any, ...] | None:
    valid, filled = _known(values, ())
    if not isinstance(filled, list) or not all(isinstance(value, (list, tuple)) for value in filled):
        return None
    offsets = _offsets([len(value) for value in filled])
    if offsets is None:
        return None
    return valid, offsets, [arrow_array([one for value in filled for one in value], kind.value_type)]


def _known(values: Any, instead: Any) -> tuple[Any, Any]:
    """Return which values are not None, None where all are, and the values with another in the place of None."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "UO":
            return None, values
        values = values.tolist()
    if not any(value is None for value in values):
        return None, list(values)
    valid = np.fromiter((value is not None for value in values), bool, len(values))
    return valid, [instead if value is None else value for value in values]


def _offsets(lengths: list[int]) -> Any:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets.astype(np.int32) if offsets[-1] <= _LARGEST else None
