"""Selection of the items of a task that are to be forgotten."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from bench.core.memory import Items
from bench.core.task import Task
from bench.utils.errors import BenchError


def named(items: Items, task: Task, ids: Collection[str]) -> np.ndarray:
    """Return a mask of the items that have one of the ids, bool [m].

    An id of the task that is not among ``items`` (a text, for a method that learns from images) is passed over.

    Raises
    ------
    BenchError
        If the task holds no item of some id.
    """
    wanted = sorted(set(ids))
    present = np.concatenate([items.ids, task.support.ids, task.memory.images.ids, task.memory.texts.ids])
    missing = ~np.isin(wanted, present)
    if missing.any():
        raise BenchError(
            f"cannot forget item {wanted[int(missing.argmax())]!r}: the task holds no such item; give ids of its "
            "support or memory"
        )
    return np.isin(items.ids, wanted)
