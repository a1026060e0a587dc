"""The search engine in use: exact, unless another is chosen for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from torch import Tensor

from bench.search.exact import EXACT
from bench.search.neighbours import Neighbours


@runtime_checkable
class Engine(Protocol):
    """Finds the nearest keys of queries. Engines that are equal (``==``) give the same answers."""

    @property
    def name(self) -> str:
        """What it is called in records."""

    def search(self, queries: Tensor, keys: Tensor, k: int) -> Neighbours:
        """Return at most k keys of each query, [q, k], nearest first; see :func:`bench.search.top_k`."""


@runtime_checkable
class Prepares(Protocol):
    """An engine that makes something of the keys before it can search them; that is not counted as retrieval."""

    def prepare(self, keys: Tensor) -> None:
        """Make it, if that has not been done."""


_in_force: ContextVar[Engine] = ContextVar("engine", default=EXACT)


@contextmanager
def engine(chosen: Engine) -> Iterator[Engine]:
    """Make ``chosen`` the engine that every :class:`~bench.search.Index` asks inside the block."""
    token = _in_force.set(chosen)
    try:
        yield chosen
    finally:
        _in_force.reset(token)


def engine_in_force() -> Engine:
    """Return the engine that an index would ask now."""
    return _in_force.get()
