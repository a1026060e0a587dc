"""Training checkpoints: an interrupted training continues and ends with the same weights."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.cost.spent import Spent
from bench.learning.state_io import load, save
from bench.utils.errors import BenchError


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that the next epoch needs from the one before.

    Attributes
    ----------
    weights, best_weights : list of Tensor
        The weights now, and those of the best validation epoch; the latter is empty without validation.
    optimiser, schedule : dict
        What torch's ``state_dict`` gives; ``schedule`` is None for a constant learning rate.
    spent : Spent
        What the training has cost so far, so that the one that goes on is charged for all of it.
    repeats : dict
        What a batch of each size is charged, products and elementwise; see :class:`bench.cost.meter.Repeats`.
    """

    losses: tuple[float, ...]
    scores: tuple[float, ...]
    best_epoch: int
    weights: list[Tensor]
    best_weights: list[Tensor]
    optimiser: dict[str, Any]
    schedule: dict[str, Any] | None
    spent: Spent
    repeats: dict[Hashable, tuple[int, int]]


class CheckpointWriter:
    """Writes a training's checkpoint to one file, at most every so many seconds.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    every : float
        Seconds between two checkpoints; a training that is shorter leaves none.
    """

    def __init__(self, path: Path | None, every: float) -> None:
        self._path, self._every = path, every
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return self._path is not None and time.monotonic() - self._last >= self._every

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint over the previous one."""
        assert self._path is not None
        save(checkpoint, self._path)
        self._last = time.monotonic()

    def load(self) -> Checkpoint | None:
        """Return the checkpoint that a stopped run left, on the CPU.

        None where there is none or it cannot be read: the training then starts afresh, with the same end.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            found = load(self._path)
        except BenchError:
            return None
        return found if isinstance(found, Checkpoint) else None
