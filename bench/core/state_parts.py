"""The parts of a state: the one walk by which states are saved, moved, weighed and searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

from bench.utils.errors import BenchError

R = TypeVar("R")

Kind = Literal["weights", "memory", "exemplars", "statistics"]
"""What the bytes of a tensor are spent on."""

KINDS: tuple[Kind, ...] = get_args(Kind)
KEY = "bytes"
"""The key of a field's metadata that says what its tensors are."""
OF_CLASS = "stored_as"
"""The class attribute that says it of a value whose tensors are all of one kind."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """What a state holds at the end of a path: a tensor, an array, a number, a string, None, or what it should not.

    Attributes
    ----------
    kind : str or None
        As what it is declared; None for what no declaration covers.
    """

    path: str
    value: Any
    kind: Kind | None

    @property
    def tensor(self) -> Tensor | None:
        """A tensor, or an array of numbers as one; None for anything else."""
        if isinstance(self.value, np.ndarray) and self.value.dtype.kind in "biufc":
            return torch.from_numpy(self.value)
        return self.value if isinstance(self.value, Tensor) else None

    @property
    def strings(self) -> np.ndarray | None:
        """An array of strings; None for anything else."""
        is_text = isinstance(self.value, np.ndarray) and self.value.dtype.kind == "U"
        return self.value if is_text else None


def fold(
    value: Any,
    leaf: Callable[[Leaf], R],
    join: Callable[[Any, Mapping[Any, R]], R],
    *,
    derived: bool = True,
    path: str = "state",
    kind: Kind | None = None,
) -> R:
    """Return what ``join`` makes of a state's inner values and ``leaf`` of what they end in, from the ends inwards.

    Inner values are dataclasses, lists, tuples and dicts. What a field is declared as holds for all that is in it; in a
    field without a declaration each value says it of its own fields, or of itself.

    Parameters
    ----------
    join : callable
        Takes an inner value and what was made of its parts, by field name, position or key.
    derived : bool
        Whether fields count that a dataclass is not made from, but makes itself.
    kind : str, optional
        What all of it is declared as.
    """
    parts = _parts(value, derived)
    if parts is None:
        return leaf(Leaf(path, value, kind))
    made = {
        name: fold(part, leaf, join, derived=derived, path=f"{path}.{name}", kind=kind or declared)
        for name, part, declared in parts
    }
    return join(value, made)


def leaves(value: Any, *, kind: Kind | None = None) -> Iterator[Leaf]:
    """Yield all that a state ends in, in order."""

    def together(_: Any, parts: Mapping[Any, list[Leaf]]) -> list[Leaf]:
        return [one for part in parts.values() for one in part]

    yield from fold(value, lambda one: [one], together, kind=kind)


def move(value: Any, device: torch.device | str) -> Any:
    """Return a state with every tensor on a device."""
    return fold(
        value, lambda one: one.value.to(device) if isinstance(one.value, Tensor) else one.value, _again, derived=False
    )


def strings(value: Any) -> Iterator[str]:
    """Yield every string of a state's string arrays; ids of items are among them."""
    for one in leaves(value):
        if one.strings is not None:
            yield from one.strings.tolist()


def _again(value: Any, parts: Mapping[Any, Any]) -> Any:
    """Return an inner value with other parts."""
    if is_record(value):
        return dataclasses.replace(value, **parts)
    return dict(parts) if isinstance(value, dict) else type(value)(parts.values())


def is_record(value: Any) -> bool:
    """Return whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _parts(value: Any, derived: bool) -> list[tuple[Any, Any, Kind | None]] | None:
    """Return the parts of an inner value: name, value and declaration of each; None for what has no parts."""
    if is_record(value):
        own = getattr(type(value), OF_CLASS, None)
        return [
            (field.name, getattr(value, field.name), _checked(type(value), field.name, field.metadata.get(KEY, own)))
            for field in dataclasses.fields(value)
            if field.init or derived
        ]
    if isinstance(value, (list, tuple)):
        return [(number, part, None) for number, part in enumerate(value)]
    if isinstance(value, dict):
        return [(key, part, None) for key, part in value.items()]
    return None


def _checked(cls: type, field: str, declared: Any) -> Kind | None:
    if declared is not None and declared not in KINDS:
        raise BenchError(f"{cls.__name__}.{field} is declared as {declared!r}; declare it as one of {', '.join(KINDS)}")
    return cast("Kind | None", declared)
