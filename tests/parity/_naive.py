"""What the parity tests of methods share: a task, queries away from the clusters, a method's scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.registry import METHODS
from bench.core.task import Task
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)


def few_shot(classes: tuple[int, ...] = CLASSES, **missing: bool) -> Task:
    """Return a task whose only images are its support."""
    return toy.task(classes, images=False, **missing)


def queries(n: int = 40) -> Tensor:
    x = Stream(9).numpy().standard_normal((n, toy.DIMENSION))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()


def make(name: str, **parameters: Any) -> Any:
    entry = METHODS.get(name)
    return entry.cls(**{**entry.preset, **parameters})


def scores(name: str, task: Task, asked: Tensor, **parameters: Any) -> Tensor:
    method = make(name, **parameters)
    found: Tensor = method.score(method.build(task, rng=Stream(0)), asked)
    return found


def by_class(task: Task) -> list[np.ndarray]:
    """Return the unit-norm support vectors of each column's class, in float64."""
    x = task.support.x.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return [x[task.support.labels.numpy() == c] for c in task.classes]


def close(found: Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found.double(), torch.from_numpy(expected).double(), atol=tolerance, rtol=tolerance)
