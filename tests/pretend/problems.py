"""Problems of any size, drawn around one centre a class, on the card."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Budget, Session, Task
from bench.utils.random import Stream

DIMENSION = 24
_NAMES = tuple(f"class {c}" for c in range(64))


def features(purpose: str, classes: range, per_class: int) -> Features:
    """Return ``per_class`` unit vectors of each class, on the card."""
    labels = np.repeat(np.array(classes), per_class)
    centres = Stream(0).child("centres").numpy().standard_normal((len(_NAMES), DIMENSION))
    x = centres[labels] + Stream(0).child(purpose, *classes).numpy().standard_normal((len(labels), DIMENSION))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ids = np.array([f"{purpose}/{classes.start}/{n}" for n in range(len(labels))])
    return Features(torch.from_numpy(x).float(), torch.from_numpy(labels), ids, _NAMES).to("cuda")


def task(n_classes: int, *, first: int = 0, session: int = 0, budget: Budget | None = None) -> Task:
    """Return a task that brings ``n_classes`` classes from ``first`` on, with a memory of images and texts."""
    new, seen = range(first, first + n_classes), range(first + n_classes)
    return Task(
        classes=tuple(seen),
        class_names=_NAMES[: len(seen)],
        support=features("support", new, 6),
        memory=Memory(
            Items.of_features(features("web", new, 6), "web"), Items.of_features(features("sentences", new, 4), "wiki")
        ),
        prompts=features("prompts", seen, 1),
        budget=budget or Budget(),
        session=session,
    )


def training(n_classes: int) -> Session:
    """Return seen classes with images to train on."""
    return Session(task=task(n_classes), queries=features("training", range(n_classes), 6))


def queries(count: int) -> Tensor:
    """Return so many queries of the first four classes, [q, d]."""
    return features("queries", range(4), -(-count // 4)).x[:count]
