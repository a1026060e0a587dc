"""The encoders by name, and the decorator that registers what loads one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from bench.device.precision import Precision
from bench.encoders.encoder import Encoder
from bench.utils.registry import ENCODER, Registry

ENCODERS = Registry(ENCODER)


class Load(Protocol):
    """Loads an encoder."""

    def __call__(self, place: str, /, *, precision: Precision, device: str | torch.device, projected: bool) -> Encoder:
        """Return the encoder; ``place`` is what stands behind the name (nothing, or a model or path)."""


L = TypeVar("L", bound=Load)


def encoder(name: str, *, description: str) -> Callable[[L], L]:
    """Register a function that loads an encoder, under a name (``glyphs``) or a scheme (``align:``).

    A scheme ends with a colon; the function is given what stands behind it. ``bench list`` shows the description.
    """

    def register(load: L) -> L:
        ENCODERS.add(name, load, options={"description": description})
        return load

    return register
