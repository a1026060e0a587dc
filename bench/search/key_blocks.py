"""Keys as a product sees them, block by block: in the order of the memory, or in a random one that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.search.few import inverse_norms
from bench.search.pair_dots import dots_of_pairs
from bench.search.rounded_products import FP32, Product, Rounded
from bench.utils.random import Stream

GROUP = 32
"""Keys whose largest score is compared with the floor before any is looked at alone."""
_GROUPS = 8
"""Groups of a block for every neighbour that is wanted, at least."""
_ENOUGH = 400
"""Keys for every neighbour that is wanted, at least, of a memory that is searched so."""
_ELEMENTS = 1 << 24
"""The most numbers in a block of keys, but for filling it up to whole ``_BLOCK``: 64 MiB in float32."""
_BLOCK = 1 << 13


def block_rows(k: int) -> int:
    """Return how many keys are compared at a time, whole times ``_BLOCK``."""
    return -(-_GROUPS * GROUP * k // _BLOCK) * _BLOCK


def pays(m: int, d: int, k: int) -> bool:
    """Return whether all this is quicker than to sort: of few keys too many are candidates, and blocks grow with k."""
    return m >= max(2 * _BLOCK, _ENOUGH * k) and d * max(_BLOCK, _GROUPS * GROUP * k) <= _ELEMENTS


def rounded(product: Product, keys: Tensor) -> Rounded:
    """Return keys [m, d] as a product sees them, in the groups that are compared."""
    return product.round(keys, GROUP)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive keys, filled up to whole groups with keys that reach nothing.

    Attributes
    ----------
    positions : int64 Tensor [b]
        Where they lie in the memory.
    keys : Tensor [b, d]
        As the product sees them.
    x : float32 Tensor [b, d]
        As float32 compares them: of unit norm but for rounding, or not a number, or as they are stored.
    inverse : float32 Tensor [b], optional
        One over the norms of keys that are compared as they are stored.
    scale : float Tensor [groups]
    moved : float Tensor [groups, group]
    """

    positions: Tensor
    keys: Tensor
    x: Tensor
    inverse: Tensor | None
    scale: Tensor
    moved: Tensor

    @classmethod
    def of(
        cls, product: Product, positions: Tensor, keys: Tensor, low: Rounded, inverse: Tensor | None = None
    ) -> Block:
        """Return the block of some keys [b, d] and what a product sees of them; the keys' norms may be known."""
        x = low.x if product is FP32 else keys if inverse is not None else FP32.round(keys).x
        lost = low.moved.isinf()
        if lost.any():
            # What is not a number reaches no floor.
            x = x.masked_fill(lost.unsqueeze(1), torch.nan)
        moved = F.pad(low.moved, (0, -len(x) % GROUP), value=-torch.inf)
        return cls(positions, low.x, x, inverse, low.scale[::GROUP], moved.view(-1, GROUP))

    def dots(self, queries: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Return the float32 score of each pair of query [q, d] and place in the block, [c]."""
        # Key by key, for the queries are fewer and stay in the cache.
        order = places.argsort()
        starts = torch.searchsorted(places[order], torch.arange(len(self.x) + 1))
        scores = queries.new_empty(len(places))
        scores[order] = dots_of_pairs(self.x, queries, starts, rows[order])
        return scores if self.inverse is None else scores.mul_(self.inverse[places])


def in_order(product: Product, keys: Tensor, k: int) -> Iterator[Block]:
    """Yield the keys in the order of the memory, rounded one block at a time."""
    size = block_rows(k)
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        yield Block.of(product, torch.arange(start, start + len(some)), some, rounded(product, some))


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Rounded keys, dealt to blocks at random, so that the first hold as near ones as the last.

    Packs are stored class by class, and a query whose class comes late would meet a low floor for long. Within a block
    keys keep their order: they are read faster, and those of one class share groups.

    Attributes
    ----------
    product : Product
    low : Rounded
        The keys in that order.
    positions : int64 Tensor [m]
        Where each lies in the memory.
    inverse : float32 Tensor [m], optional
        One over their norms, of keys that float32 compares as they are stored.
    """

    product: Product
    low: Rounded
    positions: Tensor
    inverse: Tensor | None

    @classmethod
    def of(cls, product: Product, keys: Tensor) -> Shuffled:
        """Return the copy of keys [m, d] for a product."""
        dealt = torch.from_numpy(Stream(0).child("search", "blocks").permutation(len(keys)))
        positions = torch.cat([some.sort().values for some in dealt.split(_BLOCK)])
        space = torch.empty(len(keys), product.width(keys.shape[1]), dtype=product.dtype)
        low = Rounded(space, torch.empty(len(keys)), torch.empty(len(keys)))
        for start in range(0, len(keys), _BLOCK):
            here = slice(start, start + _BLOCK)
            part = rounded(product, keys.index_select(0, positions[here]))
            low.x[here], low.moved[here], low.scale[here] = part.x, part.moved, part.scale
        inverse = inverse_norms(keys)
        return cls(product, low, positions, None if inverse is None else inverse[positions])

    def blocks(self, keys: Tensor, k: int) -> Iterator[Block]:
        """Yield the blocks, each until the next; ``keys`` are those that they were made of."""
        size = block_rows(k)
        # One piece of memory for all blocks: fresh pages take as long as the copy.
        space = torch.empty(min(size, len(keys)), keys.shape[1], dtype=keys.dtype)
        for start in range(0, len(keys), size):
            here = slice(start, start + size)
            positions = self.positions[here]
            inverse = None if self.inverse is None else self.inverse[here]
            some = torch.index_select(keys.detach(), 0, positions, out=space[: len(positions)])
            yield Block.of(self.product, positions, some, self.low[here], inverse)
