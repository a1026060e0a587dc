"""Images to choose a method's settings on, and what is left to build from meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.memory import Items
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.learning.holdout import hold_out

_ALIASES = {
    "oxford_flowers": "flowers102",
    "fgvc": "fgvc_aircraft",
    "imagenet_1k": "imagenet",
    "pets": "oxford_pets",
    "flowers": "flowers102",
    "cars": "stanford_cars",
}
"""Other names of the same images."""

NOT_SPARED = "no class can spare a labelled image"
"""Why nothing is chosen where each class has one labelled image, or their labels are not known."""


@dataclass(frozen=True, eq=False)
class Held:
    """Labelled images to choose on.

    Attributes
    ----------
    x : Tensor [h, d]
        Unit norm.
    columns : int64 Tensor [h]
    rest : bool Tensor [n]
        Which of the labelled images of the task are left to build from.
    """

    x: Tensor
    columns: Tensor
    rest: Tensor


@dataclass(frozen=True)
class CacheWeights:
    """How much a cache of images counts beside class texts, and what that was chosen on.

    Attributes
    ----------
    alpha, beta, gamma : float
        As the method's equation has them.
    held_out : int
        Images that settings were compared on.
    tried : int
        Settings that were compared.
    """

    alpha: float
    beta: float
    gamma: float
    held_out: int = 0
    tried: int = 1

    def told(self, *, wanted: bool) -> dict[str, Any]:
        """Return what a record says of them; ``wanted`` as in :func:`told_of_choice`."""
        told = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return told | told_of_choice(self.held_out, self.tried, wanted=wanted)


def told_of_choice(held_out: int, tried: int, *, wanted: bool, why: str = NOT_SPARED) -> dict[str, Any]:
    """Return what a record says of a choice: on how many images, among how many settings, and why there was none.

    Parameters
    ----------
    wanted : bool
        Whether settings were left open, so that without images to choose on they are stated ones.
    why : str
        What is said then, after ``none:`` in the column ``selected_on``.
    """
    told = {"held_out": held_out, "configurations": tried}
    return told | {"not_chosen": why} if wanted and not held_out else told


def held_images(task: Task, items: Items, *, limit: int = 4) -> Held | None:
    """Return the images to choose on; None where there are none.

    Those that the run gives (``--selection validation-split``), beside which all labelled images are left, or
    ``min(limit, n // 2)`` of the n labelled images of each class. Items found by keyword are never chosen on: their
    labels are not known.
    """
    split = task.choose_on
    if split is not None and len(split):
        rest = torch.ones(len(items), dtype=torch.bool, device=items.x.device)
        return Held(normalise(split.x), task.columns(split.labels), rest)
    if not items.annotated:
        return None
    columns = task.columns(items.labels)
    test = hold_out(columns, items.ids, limit=limit)
    return Held(normalise(items.x[test]), columns[test], ~test) if bool(test.any()) else None


def canonical(dataset: str) -> str:
    """Return the name under which the papers' settings for a data set are kept."""
    name = dataset.lower().replace("-", "_")
    return _ALIASES.get(name, name)


def steps(start: float, end: float, count: int) -> list[float]:
    """Return start + i (end - start) / count for i from 0 to count - 1, as the official searches have it."""
    return [start + i * (end - start) / count for i in range(count)]


def first_best(hits: Iterable[Tensor], count: int) -> int:
    """Return the position of the first of the largest of ``count`` numbers of hits, each a tensor; read back together.

    One by one would wait for the device at each of some hundred settings. They are written into one tensor as they
    come: small tensors that are kept between large temporaries keep the heap from using their room again.
    """
    return first_best_of_all([hits], count)


def first_best_of_all(parts: Iterable[Iterable[Tensor]], count: int) -> int:
    """Return what :func:`first_best` does where images come in parts, each with its own ``count`` numbers of hits."""
    kept: Tensor | None = None
    for hits in parts:
        for place, hit in enumerate(hits):
            kept = hit.new_zeros(count) if kept is None else kept
            kept[place] += hit
    assert kept is not None
    right: list[int] = kept.tolist()
    return right.index(max(right))
