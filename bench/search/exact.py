"""Exact nearest neighbours by cosine.

The answer is defined, not approximate: see :mod:`bench.search.reference`. A fast product proposes candidates; a
bound on its rounding error proves that none was missed, and the queries for which it cannot are searched again with
a finer product, at last in float64. ``docs/search.md`` has the algebra.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bench.device.precision import full_float32
from bench.functional.classwise import normalise
from bench.search import few, gpu, streaming
from bench.search.blocked import widest
from bench.search.int7 import ERROR, INT7, int7_cost
from bench.search.int8 import INT8
from bench.search.key_blocks import Shuffled, in_order, pays
from bench.search.neighbours import Neighbours
from bench.search.packed import has_packed_products
from bench.search.prefix import WORTH, PrefixProduct, Sample
from bench.search.reference import nearest_of, pair_similarities, search_float64
from bench.search.registry import search_engine
from bench.search.room import in_room, on_processor
from bench.search.rounded_products import BF16, FP32, Product
from bench.search.units import has_bf16_units, has_int8_units

_QUERIES = 1 << 12
"""Queries that a processor searches at a time, so that their candidates stay bounded."""
_KEPT_BYTES = 384 << 20
"""The most that is kept of one set of keys; larger ones are rounded again at every search."""
_WORTH = 256
"""Keys are turned and rounded to 8 bits only for so many queries; for fewer that takes longer than it saves."""
_UNKEPT = 1024
"""The same for keys that are turned to their principal axes, where no copy of them is kept."""
_PACKED = 768
"""The same for keys that are rounded to 7 bits; where no copy of them is kept, they are not."""
_PAYS = 0.9
"""A product of 7 bits that costs more than this share of the float32 one is not used."""
_SELECTING = 0.2
"""What it costs more to find candidates among float32 scores than among bytes, as a share of the float32 product."""
_COMPONENTS = 64
"""Turned vectors of fewer dimensions have components too uneven for 8 bits."""


@dataclass(frozen=True, eq=False)
class _Answer:
    """Positions [q, k] and float64 similarities [q, k], and which queries they leave open, bool [q]."""

    positions: Tensor
    similarities: Tensor
    left: Tensor | None = None

    @classmethod
    def nothing(cls, q: Tensor, k: int) -> _Answer:
        """Return the answer that leaves all queries open."""
        positions = torch.zeros(len(q), k, dtype=torch.int64)
        return cls(positions, positions.double(), torch.ones(len(q), dtype=torch.bool))

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


@dataclass(frozen=True, eq=False)
class _Kept:
    """The rounded copy of keys that are still alive, and the version of the keys that was rounded."""

    keys: weakref.ref[Tensor]
    version: int
    copy: Shuffled


@dataclass(frozen=True, eq=False)
class _Norms:
    """One over the norms of keys that are still alive; None of keys for which :mod:`bench.search.few` is not meant."""

    keys: weakref.ref[Tensor]
    version: int
    inverse: Tensor | None


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A sample of keys that are still alive; None of keys that are not numbers."""

    keys: weakref.ref[Tensor]
    version: int
    sample: Sample | None


@search_engine("exact")
@dataclass(frozen=True)
class Exact:
    """The engine whose answers are defined, not approximate.

    All its kinds give the same answers; they differ in speed alone.

    Attributes
    ----------
    product : {"auto", "int8", "int7", "bf16", "prefix", "fp32"}
        What proposes candidates in large memories on a CPU; ``auto`` is the coarsest that the processor has units for;
        without units, ``prefix`` or ``int7`` by what a sample says of them, ``fp32`` where neither pays.
        Few keys, and a GPU, are searched in float32 in any case: :attr:`bench.search.Neighbours.by` says what ran.
    """

    product: Literal["auto", "int8", "int7", "bf16", "prefix", "fp32"] = "auto"
    _kept: dict[int, _Kept] = field(default_factory=dict, init=False, repr=False, compare=False)
    _norms: dict[int, _Norms] = field(default_factory=dict, init=False, repr=False, compare=False)

    _samples: dict[int, _Sampled] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What was asked for: ``exact``, or ``exact:product=int8`` where one was forced."""
        return "exact" if self.product == "auto" else f"exact:product={self.product}"

    @property
    def _chosen(self) -> Literal["int8", "int7", "bf16", "prefix", "fp32"]:
        if self.product != "auto":
            return self.product
        return "int8" if has_int8_units() else "bf16" if has_bf16_units() else "fp32"

    def search(self, queries: Tensor, keys: Tensor, k: int) -> Neighbours:
        """Return the ``min(k, m)`` nearest keys of each query; see :func:`top_k`.

        A rounded copy of keys that takes no more than 384 MiB is kept as long as the keys live unchanged.
        """
        return self._search(queries, keys, k, keep=True)

    @torch.no_grad()
    def _search(self, queries: Tensor, keys: Tensor, k: int, *, keep: bool) -> Neighbours:
        k = min(k, len(keys))
        q = normalise(queries.contiguous())
        if not len(q) or not k:
            return Neighbours(torch.zeros(len(q), k, dtype=torch.int64, device=q.device), q.new_zeros(len(q), k))
        with full_float32():
            if not on_processor(q):
                positions, similarities = in_room(q.device, partial(gpu.search, q, keys, k))
                return Neighbours(positions, similarities.float(), (_by(FP32),))
            parts = [self._part(part, keys, k, keep=keep) for part in q.split(_QUERIES)]
        return Neighbours(
            torch.cat([answer.positions for answer, _ in parts]),
            torch.cat([answer.similarities for answer, _ in parts]).float(),
            tuple(sorted({by for _, by in parts})),
        )

    def _part(self, q: Tensor, keys: Tensor, k: int, *, keep: bool) -> tuple[_Answer, str]:
        """Search by each way in turn for the queries that those before could not answer; say which came first."""
        inverse = self._inverse(q, keys) if keep else None
        if inverse is not None:
            places, left = few.widest(q, keys, inverse, k)
            nearest = _Answer(*nearest_of(q, keys, places, k), left)
            return nearest.completed(q, lambda rest: _Answer(*search_float64(rest, keys, k))), _by(FP32)
        products = self.products(q, keys, k, keep=keep)
        # Where the processor has no quicker units, float32 scores are sorted first.
        answer = _Answer.nothing(q, k) if len(products) > 1 else _sorted(q, keys, k)
        for product in products:
            first = keep and product is products[0]
            answer = answer.completed(q, partial(self._streamed, product, keys=keys, k=k, keep=first))
        answer = answer.completed(q, lambda left: _Answer(*search_float64(left, keys, k)))
        return answer, _by(products[0] if products else FP32)

    def products(self, q: Tensor, keys: Tensor, k: int, *, keep: bool) -> list[Product]:
        """Return the products to try, the coarsest first and float32 last; none but for many keys on a processor."""
        if not (on_processor(q) and on_processor(keys)) or not pays(len(keys), keys.shape[1], k):
            return []
        products: list[Product] = [FP32]
        if self._chosen == "bf16" or (self._chosen == "int8" and (self.product == "int8" or has_bf16_units())):
            products.insert(0, BF16)
        known = self._known(keys) if keep else None
        if self.product in ("prefix", "int7") or (self.product == "auto" and self._chosen == "fp32"):
            coarse = self._without_units(q, keys, k, known, keep=keep)
            return products if coarse is None else [coarse, *products]
        many = len(q) >= _WORTH or (known is not None and known.copy.product is INT8)
        if self.product == "int8" or (self._chosen == "int8" and many and q.shape[1] >= _COMPONENTS):
            products.insert(0, INT8)
        return products

    def _without_units(self, q: Tensor, keys: Tensor, k: int, known: _Kept | None, *, keep: bool) -> Product | None:
        """Return the product that pays for these queries and keys without units for it; None if none does."""
        if self.product == "int7":
            return INT7
        forced, copied = self.product == "prefix", None if known is None else known.copy.product
        prefix = copied if isinstance(copied, PrefixProduct) else None
        enough = forced or prefix is not None or len(q) >= (_WORTH if keep and _fits(FP32, keys) else _UNKEPT)
        packs = not forced and keep and q.shape[1] >= _COMPONENTS and _fits(INT7, keys) and has_packed_products()
        packs = packs and (copied is INT7 or len(q) >= _PACKED)
        sample = (self._sample(keys) if keep else Sample.of(keys, forced=forced)) if enough or packs else None
        if sample is None:
            return None
        costs: list[tuple[float, Product]] = []
        if packs:
            cost = int7_cost(sample.near(q, k, ERROR), len(keys))
            costs += [(cost, INT7)] if cost < _PAYS else []
        found = sample.product(q, k, prefix, forced=forced) if enough else None
        if found is not None and (forced or found[0] < WORTH):
            costs.append((found[0] + _SELECTING, found[1]))
        # What keys were rounded for costs no rounding.
        kept = [pair for pair in costs if pair[1] is copied]
        return min(kept or costs, key=lambda pair: pair[0])[1] if costs else None

    def _sample(self, keys: Tensor) -> Sample | None:
        """Return the sample of keys, kept as long as they live."""
        known, place = self._samples.get(id(keys)), id(keys)
        if known is None or known.keys() is not keys or known.version != keys._version:
            forget = weakref.ref(keys, lambda _: self._samples.pop(place, None))
            sample = Sample.of(keys, forced=self.product == "prefix")
            known = self._samples[place] = _Sampled(forget, keys._version, sample)
        return known.sample

    def _streamed(self, product: Product, q: Tensor, *, keys: Tensor, k: int, keep: bool) -> _Answer:
        """Search by a rising floor; a query with too many candidates is left open."""
        copy = self._copy(product, keys) if keep else None
        if copy is None:
            found = streaming.candidates(product, q, in_order(product, keys, k), k)
        else:
            found = streaming.candidates_by_guess(product, q, partial(copy.blocks, keys, k), len(keys), k)
        return _ordered(q, keys, k, *found)

    def _inverse(self, q: Tensor, keys: Tensor) -> Tensor | None:
        """Return one over the norms of the keys for a few queries on a processor, kept as long as the keys live."""
        if self.product != "auto" or not few.is_few(len(q), len(keys)) or not (on_processor(q) and on_processor(keys)):
            return None
        known, place = self._norms.get(id(keys)), id(keys)
        if known is None or known.keys() is not keys or known.version != keys._version:
            forget = weakref.ref(keys, lambda _: self._norms.pop(place, None))
            known = self._norms[place] = _Norms(forget, keys._version, few.inverse_norms(keys))
        return known.inverse

    def _known(self, keys: Tensor) -> _Kept | None:
        known = self._kept.get(id(keys))
        return known if known is not None and known.keys() is keys and known.version == keys._version else None

    def _copy(self, product: Product, keys: Tensor) -> Shuffled | None:
        """Return the copy that is kept of keys, for the last product that was asked first; None of too large ones."""
        if product is FP32 or not _fits(product, keys):
            return None
        known = self._known(keys)
        if known is not None and known.copy.product is product:
            return known.copy
        copy, place = Shuffled.of(product, keys), id(keys)
        forget = weakref.ref(keys, lambda _: self._kept.pop(place, None))
        self._kept[place] = _Kept(forget, keys._version, copy)
        return copy


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


def _by(product: Product) -> str:
    """Return what records call an exact search that proposes by a product."""
    return f"exact-{product.name}"


def _fits(product: Product, keys: Tensor) -> bool:
    """Return whether a copy of keys for a product is small enough to be kept."""
    return product.dtype.itemsize * len(keys) * product.width(keys.shape[1]) <= _KEPT_BYTES


def _sorted(q: Tensor, keys: Tensor, k: int) -> _Answer:
    """Search by sorting float32 scores; a query is left open if their rounding hides more than a few candidates."""
    places, left = widest(q, keys, k)
    return _Answer(*nearest_of(q, keys, places, k), left)


def _ordered(q: Tensor, keys: Tensor, k: int, rows: Tensor, places: Tensor, left: Tensor) -> _Answer:
    """Return the k best of pairs of query and key, int64 [c] each; a query with fewer than k is left open too."""
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
