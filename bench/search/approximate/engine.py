"""The engine around an approximate index: it compares candidates exactly, and searches exactly where they are few."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.search import Neighbours, top_k
from bench.search.reference import pair_similarities
from bench.search.room import on_processor
from bench.utils.recipe_fields import defaults

_QUERY_BLOCK = 1024
"""Queries of which a processor compares the candidates at a time, so that they stay bounded."""
_QUERY_BLOCK_ELSEWHERE = 8192
"""The same for a device, which takes as long to launch a kernel for few as for many."""


class VectorIndex(Protocol):
    """Vectors that can be searched by cosine and changed. Positions are 0, 1, ... in the order of arrival.

    A removed position is never answered and never given again, so the positions of the others stay.
    """

    def __len__(self) -> int:
        """Return how many vectors there are, removed ones not counted."""

    @property
    def nbytes(self) -> int | None:
        """Bytes that the index takes, in memory or on disk; None where it is kept by what does not say."""

    def add(self, x: Tensor) -> None:
        """Add vectors [n, d] of any scale and floating dtype behind the present ones."""

    def remove(self, positions: Iterable[int]) -> None:
        """Remove the vectors at some positions; one that is not there raises :class:`bench.utils.errors.BenchError`."""

    def candidates(self, queries: Tensor, count: int) -> Tensor:
        """Return positions of likely nearest vectors, int64 [q, count] on the CPU; -1 where there are no more."""


class Recipe(Protocol):
    """How an index is made: a frozen dataclass of parameters."""

    @property
    def kind(self) -> str:
        """The name by which it is chosen."""

    @property
    def candidates(self) -> int:
        """How many candidates of each query are compared exactly."""

    @property
    def least(self) -> int:
        """From how many items on the index is worth making; fewer are searched exactly."""

    def check(self) -> None:
        """Raise :class:`bench.utils.errors.BenchError` if it cannot work here."""

    def open(self, keys: Tensor) -> VectorIndex:
        """Return the index of some keys, made now or kept from before."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An index in use: the keys it belongs to with their version, and how long it took to make or open."""

    keys: weakref.ref[Tensor]
    version: int
    index: VectorIndex
    seconds: float


@dataclass(frozen=True)
class Approximate:
    """An engine that proposes candidates by an index and ranks them by exact cosine.

    Similarities are true and ties go to the lowest position, as with the exact engine; only items that the index
    does not propose are missed. The number of candidates does not depend on k (up to half of it), so that a search
    for fewer neighbours gives the first of a search for more. A query for which the index proposes too few (its
    lists are short, or k is near m) is searched exactly, and so are sets of fewer than ``recipe.least`` items.
    """

    recipe: Recipe
    _open: dict[int, Opened] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The kind of index with every parameter that shapes the answer."""
        return ":".join([self.recipe.kind, *(f"{key}={value}" for key, value in defaults(self.recipe).items())])

    def prepare(self, keys: Tensor) -> None:
        """Make or open the index of some keys."""
        self.opened(keys)

    def opened(self, keys: Tensor) -> Opened | None:
        """Return the index of some keys, opened once; None where they are too few and searched exactly."""
        if len(keys) < self.recipe.least:
            return None
        place = id(keys)
        known = self._open.get(place)
        if known is not None and known.keys() is keys and known.version == keys._version:
            return known
        start = time.perf_counter()
        index = self.recipe.open(keys)
        forget = weakref.ref(keys, lambda _: self._open.pop(place, None))
        self._open[place] = Opened(forget, keys._version, index, time.perf_counter() - start)
        return self._open[place]

    def search(self, queries: Tensor, keys: Tensor, k: int) -> Neighbours:
        """Return the ``min(k, m)`` nearest keys of each query among the candidates; see the class."""
        k = min(k, len(keys))
        opened = self.opened(keys)
        if opened is None or not len(queries) or not k:
            return top_k(queries, keys, k)
        index = opened.index
        wide = min(len(keys), max(self.recipe.candidates, _doubled(k)))
        size = _QUERY_BLOCK if on_processor(queries) else _QUERY_BLOCK_ELSEWHERE
        parts = [self._block(part, keys, k, index, wide) for part in queries.split(size)]
        return Neighbours(torch.cat([p.positions for p in parts]), torch.cat([p.similarities for p in parts]))

    @staticmethod
    def _block(queries: Tensor, keys: Tensor, k: int, index: VectorIndex, wide: int) -> Neighbours:
        places = index.candidates(queries, wide).to(queries.device)
        positions, similarities = rank(normalise(queries), keys, places, k)
        short = ((places >= 0).sum(1) < k).nonzero().squeeze(1)
        if len(short):
            exact = top_k(queries[short], keys, k)
            positions[short], similarities[short] = exact.positions, exact.similarities
        return Neighbours(positions, similarities)


def _doubled(k: int) -> int:
    """Return twice k, rounded up to a power of two, so that searches for similar k have the same candidates."""
    return 1 << (2 * k - 1).bit_length()


def rank(q: Tensor, keys: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best candidates of each query and their cosines, ties by lowest position.

    Parameters
    ----------
    q : Tensor [q, d]
        Unit-norm queries.
    keys : Tensor [m, d]
        Any scale and dtype, may be memory-mapped; only the candidates are read.
    places : int64 Tensor [q, w]
        Candidates in any order, w at least k; -1 is none.
    """
    # None stands last and scores below every cosine.
    places = torch.where(places < 0, len(keys), places).sort(1).values
    there = places < len(keys)
    rows = torch.arange(len(q), device=q.device).unsqueeze(1).expand_as(places)
    value = torch.full(places.shape, -torch.inf, dtype=torch.float64, device=q.device)
    value[there] = pair_similarities(q, keys, rows[there], places[there])
    value, order = value.sort(dim=1, descending=True, stable=True)
    return places.gather(1, order[:, :k]), value[:, :k].float()
