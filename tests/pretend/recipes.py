"""Methods that train briefly and scenarios that deal little: what is compared does not depend on how long it lasts."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.core.registry import METHODS
from bench.scenarios.few_to_many_shot import FewToManyShot
from bench.scenarios.generalized import Generalized
from bench.scenarios.hierarchy import ClassHierarchy
from bench.scenarios.incremental import Incremental
from bench.scenarios.label_noise import LabelNoise
from bench.scenarios.lifecycle import Lifecycle
from bench.scenarios.long_tail import LongTail
from bench.scenarios.memory_noise import MemoryNoise
from bench.scenarios.memory_size import MemorySize
from bench.scenarios.memory_swap import MemorySwap
from bench.scenarios.open_set import OpenSet
from bench.scenarios.poison import Poison
from bench.scenarios.shift import Shift
from bench.scenarios.stream import QueryStream
from bench.scenarios.supervised import Supervised
from bench.scenarios.web_zero_shot import WebZeroShot

_BRIEF = {
    "epochs": 2,
    "adapt_epochs": 1,
    "min_steps": 2,
    "steps": 3,
    "max_iterations": 1,
    "width": 40,
    "hidden": 8,
    "k": 3,
    "hard_count": 2,
    "alpha_steps": 3,
    "beta_steps": 5,
    "gamma_steps": 2,
    "grid_steps": 3,
    "prototype_items": 2,
}
_GRIDS = ("alpha_steps", "beta_steps", "gamma_steps", "grid_steps")
_LENGTHS = ("epochs", "adapt_epochs", "min_steps", "steps", "max_iterations", *_GRIDS)
"""Those that say how long a training or a search lasts, brief for variants that are told apart by it, too."""
_LR = 1e-3
"""In place of smaller rates, by which a brief training would leave every answer as it was."""

SCENARIOS: tuple[Any, ...] = (
    FewToManyShot(shots=(1, 2)),
    FewToManyShot(shots=(2,), way=3, episodes=2, queries=2),
    Incremental(exemplars=14),
    Incremental(budget_bytes=6000),
    LabelNoise(rates=(0.4,)),
    Lifecycle(),
    MemoryNoise(),
    MemorySize(),
    MemorySwap(),
    Supervised(),
    WebZeroShot(),
)

MEASURED: tuple[Any, ...] = (
    ClassHierarchy(shots=2),
    Generalized(shots=2),
    LongTail(ratios=(1.0, 2.0)),
    OpenSet(shots=2),
    Poison(counts=(0, 2), shots=2),
    QueryStream(shots=2),
    Shift(shots=2),
)
"""Those whose tasks are few-shot ones like those of the others, of whose answers more is measured."""


def parameters(name: str) -> dict[str, Any]:
    """Return the parameters by which a registered method is brief, those of its variant included."""
    entry = METHODS.get(name)
    given = {f.name: f.default for f in dataclasses.fields(entry.cls)}
    brief = {key: value for key, value in _BRIEF.items() if key in given}
    brief |= {key: _LR for key in ("lr", "tower_lr") if given.get(key, 1.0) < _LR}
    return {**brief, **entry.preset, **{key: brief[key] for key in _LENGTHS if key in brief}}


def method(name: str, **changes: Any) -> Any:
    """Return a registered method that is brief."""
    return METHODS.get(name).cls(**{**parameters(name), **changes})
