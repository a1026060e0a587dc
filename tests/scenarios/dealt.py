"""What the tests of scenarios share: dealing all conditions of one seed, and looking at what was dealt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.task import Episode
from bench.utils.random import Stream


def deals(recipe: Any, data: Dataset, seed: int = 0) -> list[tuple[Mapping[str, Any], Episode]]:
    rng = Stream(seed).child("scenario", recipe.name, data.name)
    return [(condition, recipe.deal(data, condition, rng=rng)) for condition in recipe.conditions(data)]


def accuracy(frame: pd.DataFrame) -> dict[Any, float]:
    """Return the share of right answers by condition."""
    return {c: float(g["n_correct"].sum() / g["n_queries"].sum()) for c, g in frame.groupby("condition")}


def ids(parts: Any) -> set[str]:
    return set(parts.ids.tolist())


def memory_ids(memory: Memory) -> set[str]:
    return ids(memory.images) | ids(memory.texts)
