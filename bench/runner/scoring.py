"""Scores of queries as a method may have them: each alone, one after the other, or all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.core.protocols import Method, Streams
from bench.core.scored import scored
from bench.cost.meter import Repeats
from bench.utils.errors import BenchError


class Scorer:
    """Asks a method for the scores of one session's queries, block by block, in order.

    A ``query`` method is given blocks, a ``set`` method what :meth:`parts` makes of them, which is one, and a
    ``stream`` method one query after the other.

    Raises
    ------
    BenchError
        If a method says that it sees a stream and cannot take one.
    """

    def __init__(self, method: Method, state: Any, label: str) -> None:
        self._method, self._state, self._label = method, state, label
        self._repeats = Repeats()
        self._begun: tuple[Streams, Any] | None = None

    def parts(self, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the blocks [b, d] in which queries are to be handed over."""
        together = self._method.about.sees == "set" and len(blocks) > 1
        return (torch.cat(list(blocks)),) if together else blocks

    def __call__(self, queries: Tensor) -> Tensor:
        """Return the scores [b, c] of a block."""
        if self._method.about.sees == "stream":
            return self._in_turn(queries)
        with self._repeats.like(len(queries)):
            return scored(self._method, self._state, queries, self._label)

    def _in_turn(self, queries: Tensor) -> Tensor:
        if self._begun is None:
            streaming = _streaming(self._method, self._label)
            self._begun = streaming, streaming.begin(self._state)
        (method, seen), rows = self._begun, []
        for row in queries.split(1):
            with self._repeats.like("one query"):
                rows.append(method.step(self._state, seen, row))
        return torch.cat(rows)


def _streaming(method: Method, label: str) -> Streams:
    if not isinstance(method, Streams):
        raise BenchError(f"method {label} says that it sees a stream; give it begin and step, or let it see a query")
    return method
