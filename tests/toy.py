"""Small made-up data with known answers: clusters on the sphere, texts beside the cluster centres."""

from __future__ import annotations

import numpy as np
import torch

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Task
from bench.sampling.sessions import make_task
from bench.utils.random import Stream

DIMENSION = 16


def centres(n_classes: int, seed: int = 0) -> np.ndarray:
    """Return one random unit vector a class, [n_classes, DIMENSION]."""
    x = Stream(seed).child("centres").numpy().standard_normal((n_classes, DIMENSION))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cloud(labels: list[int], per_class: int, names: tuple[str, ...], purpose: str, spread: float = 0.12) -> Features:
    """Return ``per_class`` vectors around the centre of each given class."""
    y = np.repeat(labels, per_class)
    noise = Stream(1).child(purpose).numpy().standard_normal((len(y), DIMENSION)) * spread
    x = centres(len(names))[y] + noise
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ids = np.array([f"{purpose}/{n}" for n in range(len(y))])
    return Features(torch.from_numpy(x).float(), torch.from_numpy(y), ids, names)


def items(features: Features, source: str) -> Items:
    return Items.of_features(features, source, annotated=False)


def dataset(
    n_classes: int = 10, *, name: str = "toy", images: bool = True, texts: bool = True, per_class: int = 6
) -> Dataset:
    """Return a data set with support, validation, queries, and a memory of two image sources and texts."""
    names = tuple(f"class {c}" for c in range(n_classes))
    every = list(range(n_classes))
    none = Memory.empty(DIMENSION)
    memory = Memory(
        Items.concat(
            [items(cloud(every, 4, names, "web-a", 0.2), "web-a"), items(cloud(every, 4, names, "web-b", 0.2), "web-b")]
        )
        if images
        else none.images,
        items(cloud(every, 3, names, "sentences", 0.2), "wiki") if texts else none.texts,
    )
    return Dataset(
        card=Card(name=name, revision="1", encoder="toy", space="toy"),
        class_names=names,
        splits={
            "train": cloud(every, per_class, names, "train"),
            "val": cloud(every, 3, names, "val"),
            "test": cloud(every, 5, names, "test"),
        },
        roles={"support": ("train",), "validation": ("val",), "query": ("test",)},
        prompts=cloud(every, 1, names, "prompts", 0.05) if texts else Features.empty(DIMENSION, names),
        memory=memory,
    )


def task(
    classes: tuple[int, ...] = (7, 3, 9), *, support: bool = True, images: bool = True, texts: bool = True
) -> Task:
    """Return a task over classes whose ids are neither dense nor sorted."""
    data = dataset(images=images, texts=texts)
    given = data.splits["train"].of_classes(classes) if support else Features.empty(DIMENSION, data.class_names)
    return make_task(data, classes, support=given, memory=data.memory)
