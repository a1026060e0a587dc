"""How much a class-incremental run forgets, for tests on several data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.dataset import Dataset
from bench.runner.api import run


def on_first_classes(
    data: str | Path | Dataset, name: str, budget: int, settings: Mapping[str, Any], seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return, by seed, the accuracy on the first session's classes after the first session and after the last."""
    frame = run("incremental", name, data, seeds=seeds, set={**settings, "incremental.exemplars": budget})
    found = []
    for _, part in frame.sort_values("session").groupby("seed"):
        n = len(part["classes"].iloc[0])
        shares = [sum(row["class_correct"][:n]) / sum(row["class_total"][:n]) for _, row in part.iterrows()]
        found.append((shares[0], shares[-1]))
    first, last = np.array(found).T
    return first, last
