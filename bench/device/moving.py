"""Moving what a scenario deals to a device: each object once, so that what was shared stays shared."""

from __future__ import annotations

import dataclasses
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

_ANYWHERE = ("fingerprint", "row_digests")
"""Cached hashes of a part's content, which are the same wherever it lies."""


class Movable:
    """A frozen dataclass of tensors, of other such parts and of plain values, that can lie on a device."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same on a device; this very object if all of it lies there already.

        Parts that were one object before are one object afterwards: they take their bytes once, and what is
        remembered of an object, such as the answers of an index, is found again.
        """
        return Mover(device)(self)


class Mover:
    """Moves parts to one device and remembers what it has moved.

    Parameters
    ----------
    device : device or str
        ``cuda`` is the current GPU.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = device
        # By identity, each with what it came from, which must stay alive for its identity to mean something.
        self._moved: dict[int, tuple[Any, Any]] = {}

    def __call__(self, part: T) -> T:
        """Return a part on the device, the same object each time it is asked for the same one."""
        if not isinstance(part, (Tensor, Movable)) and not _of_parts(part):
            return part
        known = self._moved.get(id(part))
        if known is None:
            known = self._moved[id(part)] = (part, self._move(part))
        moved: T = known[1]
        return moved

    def _move(self, part: Any) -> Any:
        if isinstance(part, Tensor):
            # Gives the tensor itself where it lies there already; torch knows that ``cuda`` is one of ``cuda:N``.
            return part.to(self._device)
        if isinstance(part, tuple):
            several = tuple(self(one) for one in part)
            return several if any(new is not old for new, old in zip(several, part, strict=True)) else part
        fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        changed = {name: new for name, old in fields.items() if (new := self(old)) is not old}
        if not changed:
            return part
        moved = dataclasses.replace(part, **changed)
        vars(moved).update({name: value for name, value in vars(part).items() if name in _ANYWHERE})
        return moved


def _of_parts(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(one, Movable) for one in value[:1])
