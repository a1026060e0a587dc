"""Held-out labelled images for choosing hyperparameters, selected by a property of the images and not by a draw."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.task import Task


def digest_order(ids: np.ndarray) -> Tensor:
    """Return the positions of ids sorted by their hash, int64 [n]: an order that no other item can move."""
    keys = [hashlib.sha256(str(name).encode()).digest() for name in ids]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__), dtype=torch.int64)


def spared(task: Task, held: Tensor) -> tuple[Task, Features]:
    """Return a task without some rows of its support, bool [n], and those rows.

    An item that lies in its memory as well is left out of that too.
    """
    images, memory = task.support.take(held), task.memory.images
    there = np.isin(memory.ids, images.ids) if len(memory) else np.zeros(0, dtype=bool)
    kept = task.memory.replace(images=memory.take(~there)) if there.any() else task.memory
    return replace(task, support=task.support.take(~held), memory=kept), images


def apart(task: Task, held: Tensor) -> tuple[Task, Features]:
    """Return what :func:`spared` does, without the images that are one of the rows under another name.

    An image that lies in a folder twice would else be answered by itself. They are told by their features, which are
    the same to the last bit.
    """
    rest, images = spared(task, held)
    asked = set(_contents(images.x))

    def others(x: Tensor) -> np.ndarray:
        return np.array([content not in asked for content in _contents(x)], dtype=bool)

    memory = rest.memory.images
    kept = rest.memory.replace(images=memory.take(others(memory.x))) if len(memory) else rest.memory
    return replace(rest, support=rest.support.take(others(rest.support.x)), memory=kept), images


def _contents(x: Tensor) -> list[bytes]:
    return [row.tobytes() for row in x.detach().cpu().contiguous().view(torch.uint8).numpy()]


def hold_out(columns: Tensor, ids: np.ndarray, *, limit: int | None = None, share: float = 0.5) -> Tensor:
    """Return a mask of the rows to choose on, bool [n].

    Of a class with n rows, ``share`` of them, but at least one, at most ``limit`` and at most half, are held out: a
    class with a single row keeps it. Rows are taken in the order of their ids' hashes, so the choice depends on the
    class's own items alone: adding or forgetting items of other classes does not move it, nor does the row order.

    Parameters
    ----------
    columns : int64 Tensor [n]
        The class of each row.
    ids : str array [n]
        Stable names of the rows.
    """
    mask = torch.zeros(len(columns), dtype=torch.bool)
    order = digest_order(ids)
    sorted_columns = columns.cpu()[order]
    for column in sorted(set(sorted_columns.tolist())):
        rows = order[sorted_columns == column]
        count = min(max(1, int(len(rows) * share)), len(rows) // 2)
        mask[rows[: count if limit is None else min(count, limit)]] = True
    return mask.to(columns.device)
