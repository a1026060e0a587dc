"""Exact nearest neighbours by cosine.

The answer is defined, not approximate: see :mod:`bench.search.definition`. A fast product proposes candidates; a
bound on its rounding error proves that none was missed, and the queries for which it cannot are searched again with
a finer product, at last in float64. ``docs/search.md`` has the algebra.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from bench.algebra import normalise
from bench.search import streaming
from bench.search.definition import nearest_of, pair_similarities, search_float64
from bench.search.dense import widest
from bench.search.neighbours import Neighbours
from bench.search.products import BF16, FP32, Product, Rounded, full_float32, has_bf16_units

_QUERIES = 1 << 12
"""Queries searched at a time, so that their candidates stay bounded."""
_KEPT_BYTES = 256 << 20
"""The most that is kept of one set of keys; larger ones are rounded again at every search."""


@dataclass(frozen=True, eq=False)
class _Answer:
    """Positions [q, k] and float64 similarities [q, k], and which queries they leave open, bool [q]."""

    positions: Tensor
    similarities: Tensor
    left: Tensor | None = None

    def completed(self, q: Tensor, search: Callable[[Tensor], _Answer]) -> _Answer:
        """Return this answer with those of another search where it leaves queries open."""
        if self.left is None or not self.left.any():
            return self
        rest = search(q[self.left])
        self.positions[self.left], self.similarities[self.left] = rest.positions, rest.similarities
        left = self.left.clone()
        if rest.left is None:
            return _Answer(self.positions, self.similarities)
        left[self.left] = rest.left
        return _Answer(self.positions, self.similarities, left)


@dataclass(frozen=True)
class Exact:
    """The engine whose answers are defined, not approximate.

    All its kinds give the same answers; they differ in speed alone.

    Attributes
    ----------
    product : {"auto", "bf16", "fp32"}
        What proposes candidates in large memories on a CPU; ``auto`` is bfloat16 where the processor has units for it.
    """

    product: Literal["auto", "bf16", "fp32"] = "auto"
    _kept: dict[int, tuple[weakref.ref[Tensor], int, Rounded]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """``exact-bf16`` or ``exact-fp32``: the product in use."""
        return f"exact-{self._product.name}"

    @property
    def _product(self) -> Product:
        if self.product == "auto":
            return BF16 if has_bf16_units() else FP32
        return {"bf16": BF16, "fp32": FP32}[self.product]

    def search(self, queries: Tensor, keys: Tensor, k: int) -> Neighbours:
        """Return the ``min(k, m)`` nearest keys of each query; see :func:`top_k`.

        A bfloat16 copy of keys that take no more than 256 MiB so is kept as long as the keys live unchanged.
        """
        return self._search(queries, keys, k, keep=True)

    @torch.no_grad()
    def _search(self, queries: Tensor, keys: Tensor, k: int, *, keep: bool) -> Neighbours:
        k = min(k, len(keys))
        q = normalise(queries.contiguous())
        if not len(q) or not k:
            return Neighbours(torch.zeros(len(q), k, dtype=torch.int64, device=q.device), q.new_zeros(len(q), k))
        with full_float32():
            parts = [self._part(part, keys, k, keep=keep) for part in q.split(_QUERIES)]
        return Neighbours(torch.cat([p.positions for p in parts]), torch.cat([p.similarities for p in parts]).float())

    def _part(self, q: Tensor, keys: Tensor, k: int, *, keep: bool) -> _Answer:
        """Search by each way in turn for the queries that those before could not answer."""
        large = q.device.type == keys.device.type == "cpu" and len(keys) >= 2 * streaming.block_rows(k)
        if large and self._product is BF16:
            answer = _streamed(BF16, q, keys, self._rounded(keys) if keep else None, k)
        else:
            answer = _sorted(q, keys, k)
        if large:
            answer = answer.completed(q, lambda left: _streamed(FP32, left, keys, None, k))
        return answer.completed(q, lambda left: _Answer(*search_float64(left, keys, k)))

    def _rounded(self, keys: Tensor) -> Rounded | None:
        """Return the bfloat16 copy that is kept of keys, if they are not too large to keep one."""
        if 2 * keys.numel() > _KEPT_BYTES:
            return None
        place = id(keys)
        known = self._kept.get(place)
        if known is not None and known[0]() is keys and known[1] == keys._version:
            return known[2]
        rounded = BF16.round(keys)
        self._kept[place] = (weakref.ref(keys, lambda _: self._kept.pop(place, None)), keys._version, rounded)
        return rounded


EXACT = Exact()
"""The default engine."""


def top_k(queries: Tensor, keys: Tensor, k: int) -> Neighbours:
    """Return the ``min(k, m)`` nearest keys of each query by cosine, exactly.

    Parameters
    ----------
    queries : Tensor [q, d]
        Any scale; normalised here.
    keys : Tensor [m, d]
        Any scale and floating dtype, may be memory-mapped; normalised block by block.
    k : int
        At least 1; more than m gives all m.
    """
    return EXACT._search(queries, keys, k, keep=False)


def _sorted(q: Tensor, keys: Tensor, k: int) -> _Answer:
    """Search by sorting float32 scores; a query is left open if their rounding hides more than a few candidates."""
    places, left = widest(q, keys, k)
    return _Answer(*nearest_of(q, keys, places, k), left)


def _streamed(product: Product, q: Tensor, keys: Tensor, rounded: Rounded | None, k: int) -> _Answer:
    """Search by a rising threshold; a query with too many candidates is left open."""
    size = streaming.block_rows(k)

    def blocks() -> Iterator[tuple[int, Rounded]]:
        for start in range(0, len(keys), size):
            here = slice(start, start + size)
            yield start, product.round(keys[here]) if rounded is None else Rounded(rounded.x[here], rounded.moved[here])

    rows, places, left = streaming.candidates(product, product.round(q), blocks(), k)
    # Sorted by position within a query, so that a stable sort by similarity leaves ties in that order.
    pairs = ((rows << 32) | places).sort().values
    rows, places = pairs >> 32, pairs & 0xFFFFFFFF
    starts = torch.searchsorted(rows, torch.arange(len(q) + 1))
    within = torch.arange(len(rows)) - starts[rows]
    width = max(k, int(starts.diff().max()))
    similarities = torch.full((len(q), width), -torch.inf, dtype=torch.float64)
    similarities[rows, within] = pair_similarities(q, keys, rows, places)
    table = torch.zeros(len(q), width, dtype=torch.int64)
    table[rows, within] = places
    value, best = similarities.sort(dim=1, descending=True, stable=True)
    # Only not-a-number leaves fewer than k candidates without being given up; it compares with nothing.
    return _Answer(table.gather(1, best[:, :k]), value[:, :k], left | (starts.diff() < k))
