"""The encoders by name, and the decorator that registers what loads one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bench.encoders.encoder import Encoder
from bench.utils.registry import ENCODER, Registry

ENCODERS = Registry(ENCODER)

L = TypeVar("L", bound=Callable[..., Encoder])


def encoder(name: str, *, description: str, synthesises: bool = False) -> Callable[[L], L]:
    """Register a function that loads an encoder, under a name (``glyphs``) or a scheme (``align:``).

    A scheme ends with a colon; the function is given what stands behind it. ``bench list`` shows the description. One
    that ``synthesises`` takes a keyword ``texts`` and can make texts of a classifier's rows.
    """

    def register(load: L) -> L:
        ENCODERS.add(name, load, options={"description": description, "synthesises": synthesises})
        return load

    return register
