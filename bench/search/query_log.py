"""A log of the searches that were requested, whether they were computed or remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class SearchCall:
    """One question: the ``k`` nearest of ``keys`` for each of ``queries``; ``by`` names what answered it."""

    queries: Tensor
    keys: Tensor
    k: int
    by: tuple[str, ...]


_heard: ContextVar[list[SearchCall] | None] = ContextVar("asked", default=None)


@contextmanager
def listening() -> Iterator[list[SearchCall]]:
    """Yield a list that grows by every question asked inside the block."""
    heard: list[SearchCall] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def note(queries: Tensor, keys: Tensor, k: int, by: tuple[str, ...]) -> None:
    """Add a search to every open log."""
    heard = _heard.get()
    if heard is not None:
        heard.append(SearchCall(queries, keys, k, by))
