"""Options of a run for its trainings, which methods that train hand on to the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from bench.utils.precision import TrainingPrecision
from bench.utils.recipe_fields import evolve

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of a run for its trainings.

    Attributes
    ----------
    progress : bool
        Show a bar of epochs on a terminal.
    checkpoints : Path or None
        Folder in which a training that is stopped leaves its checkpoint; whoever owns it removes it when all is done.
    checkpoint_seconds : float
        Time between two checkpoints.
    precision : str
        What the loss is computed in: ``fp32``, or ``bf16`` where torch's autocast deems it safe. Weights, their
        optimiser and validation are in float32 in any case.
    """

    progress: bool = False
    checkpoints: Path | None = None
    checkpoint_seconds: float = 60.0
    precision: TrainingPrecision = "fp32"


DEFAULT_OPTIONS = TrainingOptions()


@runtime_checkable
class TakesTrainingOptions(Protocol):
    """A method that trains by :func:`bench.learning.training.fit`; the run sets this field; it is not a parameter."""

    @property
    def training_options(self) -> TrainingOptions:
        """What the run asks of its trainings."""


def with_training_options(method: M, options: TrainingOptions) -> M:
    """Return a method that trains as the options say; one that takes no options as it is."""
    return evolve(method, training_options=options) if isinstance(method, TakesTrainingOptions) else method
