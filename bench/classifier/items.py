"""Items of a task: their ids, and the classes that they are restricted to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.memory import Memory
from bench.core.task import Task
from bench.utils.errors import BenchError
from bench.utils.hashing import digest


def row_ids(n: int, ids: Sequence[str] | None, x: Tensor) -> np.ndarray:
    """Return the ids of rows, str [n]: those given, or a hash of each row, so that a row's id is its own affair.

    Of equal rows those after the first are numbered.
    """
    if ids is None:
        seen: Counter[str] = Counter()
        made = []
        for row in x:
            key = digest(row)[:16]
            seen[key] += 1
            made.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
        return np.array(made, dtype="U")
    found = np.array([str(name) for name in ids], dtype="U")
    if len(found) != n:
        raise BenchError(f"{n} rows and {len(found)} ids; give one id for every row")
    values, counts = np.unique(found, return_counts=True)
    if (counts > 1).any():
        raise BenchError(f"id {values[counts > 1][0]!r} is given twice; every item needs an id of its own")
    return found


def renumbered(task: Task, columns: Sequence[int]) -> Task:
    """Return a task of some of its columns alone, whose class ids are the new columns; items of others are left out.

    Raises
    ------
    BenchError
        If fewer than two columns are left.
    """
    if len(columns) < 2:
        raise BenchError(f"{len(columns)} class would be left and a classifier needs two; fit a new one")
    names = tuple(task.class_names[column] for column in columns)
    table = torch.full((task.n_classes,), -1)
    table[list(columns)] = torch.arange(len(columns))

    def again(rows: Any, **more: Any) -> Any:
        labels = table[task.columns(rows.labels)] if len(rows) else rows.labels
        return replace(rows, labels=labels, **more).take(labels >= 0)

    return replace(
        task,
        classes=tuple(range(len(columns))),
        class_names=names,
        support=again(task.support, class_names=names),
        memory=Memory(again(task.memory.images), again(task.memory.texts)),
        prompts=again(task.prompts, class_names=names),
        pictures=None,
    )
