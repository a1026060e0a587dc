"""In which precision trainings compute; see :mod:`bench.learning.training`."""

from __future__ import annotations

from typing import Literal

TrainingPrecision = Literal["fp32", "bf16"]
"""What the loss of a training is computed in; weights, their optimiser and validation are float32 in any case."""
