"""What holds of every record and every prediction: a file in which it does not is damaged or was made otherwise.

Runs are read from anywhere, so that types alone do not say that a table is one of results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.utils.errors import BenchError
from bench.utils.names import shown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ALWAYS = ("schema", "run", "cell", "status", "method", "scenario", "dataset", "condition", "seed")
"""Columns of the records that are never null."""
_ANSWERED = ("session", "n_queries", "n_correct", "class_total", "class_correct", "classes")
"""Those that are not null in a record of answers."""
_OBJECTS = ("method_params", "scenario_params", "condition", "details", "notes", "provenance")
"""Those that hold JSON objects."""
_NAMES = ("method", "method_name", "scenario", "dataset", "encoder")
_LONGEST = 2000
"""Characters of a name; tables and figures of a report show it, and take the longer the longer it is."""
TWICE = "sessions of a cell twice, and nothing says which counts"
_STATUS = frozenset({"ok", "skipped", "failed"})
_COUNTS = ("seed", "session", "n_queries", "n_correct", "state_bytes", "support_items", "memory_items")


def record_fault(table: pa.Table) -> str | None:
    """Return what cannot be in a table of records, in words that follow "they"; None if there is no such thing.

    Columns that are not in the table are not asked about.
    """
    return next(_record_faults(table), None)


def _record_faults(table: pa.Table) -> Iterator[str]:
    import pyarrow.compute as pc

    there = set(table.column_names)
    for name in _ALWAYS:
        if name in there and table[name].null_count:
            yield f"lack {name} in {table[name].null_count} rows"
    for name in _OBJECTS:
        if name in there and not _are_objects(pc.unique(table[name]).to_pylist()):
            yield f"have a {name} that is no JSON object"
    for name in _NAMES:
        if name in there:
            longest = max((len(str(text)) for text in pc.unique(table[name]).to_pylist()), default=0)
            if longest > _LONGEST:
                yield f"have {'an' if name == 'encoder' else 'a'} {name} of {longest} characters, more than {_LONGEST}"
    if "status" not in there:
        return
    said = set(pc.unique(table["status"]).to_pylist())
    others = said - _STATUS
    if others:
        yield f"have the status {shown(str(min(others)))}"
    for name in _COUNTS:
        if name in there and (pc.min(table[name]).as_py() or 0) < 0:
            yield f"have a negative {name}"
    # To filter copies the counts of all classes, which are most of a table.
    done = table if said == {"ok"} else table.filter(pc.equal(table["status"], "ok"))
    for name in _ANSWERED:
        if name in there and done[name].null_count:
            yield f"lack {name} in {done[name].null_count} rows that have answers"
    if {"cell", "session"} <= there:
        pairs = done.select(["cell", "session"]).group_by(["cell", "session"], use_threads=False).aggregate([])
        if len(pairs) < len(done):
            yield f"have {len(done) - len(pairs)} {TWICE}"
    if there.issuperset(_ANSWERED):
        yield from _count_faults(done)


def _are_objects(texts: list[str | None]) -> bool:
    """Return whether all texts but null are JSON objects."""
    known = [text for text in texts if text is not None]
    try:
        # All at once, since there can be as many as rows.
        made = json.loads(f"[{','.join(known)}]")
    except (ValueError, RecursionError):
        return False
    return len(made) == len(known) and all(isinstance(one, dict) for one in made)


def _count_faults(done: pa.Table) -> Iterator[str]:
    """Yield in what the counts of classes and their sums do not go together."""
    lists = {name: _flat(done[name]) for name in ("classes", "class_total", "class_correct")}
    ends = lists["classes"][1]
    if any(values is None or not np.array_equal(starts, ends) for values, starts in lists.values()):
        yield "have not one count for each class"
        return
    classes, total, right = (values for values, _ in lists.values())
    assert classes is not None
    assert total is not None
    assert right is not None
    if (classes < 0).any() or (right < 0).any() or (right > total).any():
        yield "count more right answers of a class than queries, or fewer than none"
    for name, values in (("n_queries", total), ("n_correct", right)):
        sums = _sums(values, ends)
        if not np.array_equal(sums, done[name].to_numpy()):
            yield f"have another {name} than their classes sum up to"


def _sums(values: NDArray[np.integer[Any]], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each list of values that end where they do."""
    sums = np.zeros(len(ends) - 1, np.int64)
    # Lists without values, which reduceat knows nothing of, take none from those around them.
    some = np.diff(ends) > 0
    if some.any():
        sums[some] = np.add.reduceat(values, ends[:-1][some], dtype=np.int64)
    return sums


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.integer[Any]] | None, NDArray[np.int64]]:
    """Return the values of a column of lists and where each list ends, from 0; None where a value is null."""
    import pyarrow.compute as pc

    sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(column)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return None if values.null_count else values.to_numpy(), ends


def require_own_cell(table: pa.Table, path: Path, cell: str) -> None:
    """Raise :class:`BenchError` if a file, which is named after a cell, holds another's rows."""
    import pyarrow.compute as pc

    if "cell" not in table.column_names:
        return
    others = [name for name in pc.unique(table["cell"]).to_pylist() if name != cell]
    if others:
        raise BenchError(f"{path} holds rows of cell {shown(str(others[0]))}; remove it and run again")


_PREDICTED = ("cell", "session", "query", "label", "prediction", "rank")
"""Columns of the predictions that are never null."""


def prediction_fault(table: pa.Table) -> str | None:
    """Return what cannot be in a table of predictions, in words that follow "they"; None if there is no such thing."""
    import pyarrow.compute as pc

    for name in _PREDICTED:
        if table[name].null_count:
            return f"lack {name} in {table[name].null_count} rows"
    for name in ("session", "label", "prediction", "rank"):
        if (pc.min(table[name]).as_py() or 0) < 0:
            return f"have a negative {name}"
    if "confidence" in table.column_names:
        shares = table["confidence"]
        outside = pc.or_(pc.or_(pc.less(shares, 0), pc.greater(shares, 1)), pc.is_nan(shares))
        if pc.any(outside).as_py():
            return "have a confidence that is no share from 0 to 1"
    if "set_size" in table.column_names and (pc.min(table["set_size"]).as_py() or 0) < 0:
        return "have a negative set_size"
    return None


class DisagreementError(BenchError):
    """Predictions of a cell are not those that its record counted."""


def require_agreement(records: pd.DataFrame, predictions: pd.DataFrame, folder: Path) -> None:
    """Raise :class:`DisagreementError`, which says both, if predictions of some cells are not those counted.

    Parameters
    ----------
    records : DataFrame
        Rows of answers with ``cell``, ``session``, ``classes``, ``class_total`` and ``class_correct``; those of cells
        that have no predictions are not asked about.
    predictions : DataFrame
        All that some cells have.
    """
    import pandas as pd

    mine = records[records["cell"].isin(predictions["cell"].unique())]
    parts = [list(map(np.asarray, mine[name])) for name in ("classes", "class_total", "class_correct")]
    sizes = [len(part) for part in parts[0]]
    counted = pd.DataFrame(
        {
            "cell": np.repeat(mine["cell"].astype("str").to_numpy(dtype=object), sizes),
            "session": np.repeat(mine["session"].to_numpy(dtype=np.int64), sizes),
            **{
                name: np.concatenate([*values, np.zeros(0, dtype=np.int64)]).astype(np.int64)
                for name, values in zip(("label", "queries", "right"), parts, strict=True)
            },
        }
    )
    key = ["cell", "session", "label"]
    told = predictions[key].assign(right=predictions["prediction"] == predictions["label"])
    told = told.groupby(key, sort=False)["right"].agg(["size", "sum"]).reset_index()
    both = counted.merge(told, on=key, how="outer").fillna(0)
    differ = both[(both["queries"] != both["size"]) | (both["right"] != both["sum"])]
    if len(differ):
        cell, session = differ[["cell", "session"]].iloc[0]
        there = both[(both["cell"] == cell) & (both["session"] == session)][["right", "queries", "sum", "size"]].sum()
        right, queries, again, rows = (int(number) for number in there)
        raise DisagreementError(
            f"{folder}: of cell {cell}, session {session}, the record says {right} of {queries} right and the "
            f"predictions {again} of {rows}, or not of the same classes; remove both files and run again"
        )
    if predictions.duplicated(["cell", "session", "query"]).any():
        raise DisagreementError(
            f"{folder}: a query is answered twice in one session; remove the predictions and run again"
        )
    classes = set(zip(counted["cell"], counted["session"], counted["label"], strict=True))
    answers = predictions[["cell", "session", "prediction"]].drop_duplicates().itertuples(index=False, name=None)
    if not classes.issuperset(answers):
        raise DisagreementError(f"{folder}: a prediction is no class of its task; remove the predictions and run again")
