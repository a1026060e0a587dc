"""Bytes of a state by kind: items, exemplars, statistics, weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items
from bench.functional.attention import Block
from bench.functional.gaussian import Fourier
from bench.functional.logistic_regression import Linear
from bench.learning.incremental_net import Net

_KINDS: tuple[tuple[type, str], ...] = (
    (Items, "memory"),
    (Features, "exemplar"),
    (Block, "weights"),
    (Net, "weights"),
    (Linear, "weights"),
    (Fourier, "weights"),
)


@dataclasses.dataclass(frozen=True)
class Stored:
    """Bytes of tensors, each counted once.

    Attributes
    ----------
    memory : int
        Items that answers are looked up in.
    exemplar : int
        Labelled features kept to train on again, in the state or carried on by the harness.
    statistics : int
        All else: class means, moments, prototypes, class texts.
    weights : int
        Matrices that act on a feature: linear classifiers, attention blocks, adapters, random projections.
    """

    memory: int
    exemplar: int
    statistics: int
    weights: int


def stored(state: Any, carried: Any = None) -> Stored:
    """Return what the tensors of a state are, by the types that hold them, and of what the harness carries on.

    A tensor that is in the state and carried on as well is the state's.
    """
    seen: set[int] = set()
    found = {"memory": 0, "exemplar": 0, "statistics": 0, "weights": 0}

    def walk(part: Any, kind: str) -> None:
        if isinstance(part, Tensor):
            place = part.data_ptr() if part.numel() else id(part)
            if place not in seen:
                seen.add(place)
                found[kind] += part.numel() * part.element_size()
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            named = next((name for known, name in _KINDS if isinstance(part, known)), kind)
            inner = kind if kind == "exemplar" else named
            for field in dataclasses.fields(part):
                walk(getattr(part, field.name), inner)
        elif isinstance(part, (list, tuple)):
            for value in part:
                walk(value, kind)
        elif isinstance(part, dict):
            for value in part.values():
                walk(value, kind)

    walk(state, "statistics")
    walk(carried, "exemplar")
    return Stored(**found)
