"""Supports with many images of some classes and few of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.features import Features
from bench.sampling.class_split import class_order
from bench.sampling.labelled import Labelled
from bench.sampling.sessions import shots
from bench.utils.errors import BenchError
from bench.utils.random import Stream

Law = Literal["exponential", "zipf"]
"""How the size of a class falls with its rank."""


def most_shots(frame: Labelled, wanted: int | None, ratios: Sequence[float]) -> int:
    """Return the images of the largest class: what is wanted, or as many as every class has.

    Raises
    ------
    BenchError
        If a class has fewer, or a ratio leaves the smallest class without an image.
    """
    have = torch.bincount(frame.pool.labels.cpu(), minlength=max(frame.ids) + 1)[list(frame.ids)]
    least, poorest = int(have.min()), frame.dataset.class_names[frame.ids[int(have.argmin())]]
    count = least if wanted is None else wanted
    if count > least or not count:
        raise BenchError(
            f"data set {frame.dataset.name}: long-tail.shots is {count} and class {poorest!r} has {least} images; "
            f"ask for at most {least}, or leave the class out"
        )
    for ratio in ratios:
        if round(count / ratio) < 1:
            raise BenchError(
                f"long-tail.ratios has {ratio:g}, which leaves the smallest class without an image of {count} in the "
                f"largest; ask for at most {2 * count - 1}, or for more shots"
            )
    return count


def tail(frame: Labelled, most: int, ratio: float, law: Law, rng: Stream) -> Features:
    """Return the support: of the class at rank i of c ``most`` times what the law leaves of it, rounded.

    Exponential: ratio^(-i / (c - 1)). Zipf: (i + 1)^-s with s so that the last has 1 / ratio.
    """
    order = class_order(frame.dataset.class_names, frame.ids, rng.child("class-order"))
    ranks = np.arange(len(order))
    if law == "exponential":
        left = ratio ** (-ranks / (len(order) - 1))
    else:
        left = (ranks + 1.0) ** (-np.log(ratio) / np.log(len(order)))
    counts = np.maximum(1, np.floor(most * left + 0.5)).astype(int)
    chosen = shots(frame.pool, most, rng, dataset=frame.dataset.name, classes=frame.ids)
    parts = [chosen.of_classes([label]).take(np.arange(count)) for label, count in zip(order, counts, strict=True)]
    return Features.concat(parts)


def thirds(ids: Sequence[int], support: Features) -> dict[str, NDArray[np.bool_]]:
    """Return which columns are of the third of the classes with many, medium and few images."""
    counts = torch.bincount(support.labels.cpu(), minlength=max(ids) + 1)[list(ids)].numpy()
    ranks = np.argsort(np.argsort(-counts, kind="stable"))
    third = ranks * 3 // len(ids)
    return {name: third == place for place, name in enumerate(("many", "medium", "few"))}
