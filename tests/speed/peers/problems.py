"""Made-up labelled images in the shape of few-shot tasks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.perf.comparisons import draw


def images(per_class: int, classes: int, purpose: str = "support") -> tuple[Tensor, Tensor, int]:
    """Return unit vectors [n, 512] around centres of their classes, their columns [n], and how many classes."""
    columns = torch.arange(classes).repeat_interleave(per_class)
    return normalise(draw(classes, 512, "centres")[columns] + 1.5 * draw(len(columns), 512, purpose)), columns, classes


def task_of(x: Tensor, columns: Tensor, n_classes: int, memories: tuple[Tensor, ...] = ()) -> Task:
    """Return the task of labelled images, and of images and texts in memory whose classes take turns."""
    names = tuple(f"class {c}" for c in range(n_classes))
    support = Features(x, columns, np.array([f"image {n}" for n in range(len(x))]), names)
    return Task(
        classes=tuple(range(n_classes)),
        class_names=names,
        support=support,
        memory=Memory(*(_items(one, names) for one in memories)) if memories else Memory.empty(512),
        prompts=Features.empty(512, names),
    )


def _items(x: Tensor, names: tuple[str, ...]) -> Items:
    ids = np.array([f"item {n}" for n in range(len(x))])
    return Items.of_features(Features(x, torch.arange(len(x)) % len(names), ids, names), "web")
