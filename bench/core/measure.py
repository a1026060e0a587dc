"""What a scenario asks of the answers beside accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bench.utils.random import Stream


@dataclass(frozen=True, eq=False, kw_only=True)
class Answered:
    """A method's scores of what a session asks, in the order in which it was dealt, on the CPU.

    Attributes
    ----------
    scores : Tensor [q + s, c]
        Of the queries, then of the strangers: queries of classes that the task does not have.
    targets : int64 Tensor [q]
        Score column of each query's class.
    met : int64 Tensor [q + s]
        At which place the method met each.
    temperature : float
        Scores over it are what confidences are made of.
    """

    scores: Tensor
    targets: Tensor
    met: Tensor
    temperature: float

    @property
    def n_queries(self) -> int:
        """How many are of the task's classes, q."""
        return len(self.targets)

    @property
    def columns(self) -> Tensor:
        """The column that each is answered with, int64 [q + s]; ties go to the first."""
        return self.scores.argmax(1)

    @property
    def right(self) -> Tensor:
        """Which queries are answered rightly, bool [q]."""
        return self.columns[: self.n_queries] == self.targets

    @property
    def confidences(self) -> Tensor:
        """Softmax probability of each answer, float64 [q + s]."""
        scores = torch.nan_to_num(self.scores.double(), neginf=-1e30) / self.temperature
        return scores.softmax(1).amax(1)


Measured = Mapping[str, tuple[float, float, float]]
"""By the name of a measure its value and the limits of its 95 % interval; NaN limits where it has none."""


class Measure(Protocol):
    """Measures answers; made by a scenario, which knows what is to be measured and nothing of methods."""

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the measures of one method in one session."""
