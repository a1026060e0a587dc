"""Candidates by a threshold that rises as blocks of keys stream by: no key is sorted that cannot matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.search.pair_dots import dots_of_pairs
from bench.search.rounded_products import FP32, Product, Rounded, float32_error

_GROUP = 32
"""Keys whose largest score is compared with the floor before any is looked at alone."""
_GROUPS = 8
"""Groups of a block for every neighbour that is wanted, at least."""
_ENOUGH = 400
"""Keys for every neighbour that is wanted, at least, of a memory that is searched so."""
_ELEMENTS = 1 << 24
"""The most numbers in a block of keys: 64 MiB in float32."""
_BLOCK = 1 << 13
_SCORES = 1 << 23
"""Scores of one block: 16 MiB in bfloat16, 32 MiB in float32 and int32."""
_PAIRS = 1 << 16
"""Pairs of query and group that are looked into at a time."""
_MOVED = 2.0**-17
"""More than any key is moved that float32 compares as it is stored."""
_ROUNDING = 2.0**-20
"""More than float32 errs where it compares a value near 1 and its bounds."""


def block_rows(k: int) -> int:
    """Return how many keys are compared at a time."""
    return max(_BLOCK, _GROUPS * _GROUP * k)


def pays(m: int, d: int, k: int) -> bool:
    """Return whether all this is quicker than to sort: of few keys too many are candidates, and blocks grow with k."""
    return m >= max(2 * _BLOCK, _ENOUGH * k) and d * block_rows(k) <= _ELEMENTS


def rounded(product: Product, keys: Tensor) -> Rounded:
    """Return keys [m, d] as a product sees them, in the groups that are compared."""
    return product.round(keys, _GROUP)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive keys, filled up to whole groups with keys that reach nothing.

    Attributes
    ----------
    start : int
        The position of the first.
    keys : Tensor [b, d]
        As the product sees them.
    x : float32 Tensor [b, d]
        Of unit norm but for rounding, or not a number.
    scale : float Tensor [groups]
    moved : float Tensor [groups, group]
    """

    start: int
    keys: Tensor
    x: Tensor
    scale: Tensor
    moved: Tensor

    @classmethod
    def of(cls, product: Product, start: int, keys: Tensor, low: Rounded | None = None) -> Block:
        """Return the block of some keys [b, d], which may have been rounded before."""
        low = low or rounded(product, keys)
        x = low.x if product is FP32 else FP32.round(keys).x
        lost = low.moved.isinf()
        if lost.any():
            # What is not a number reaches no floor.
            x = x.masked_fill(lost.unsqueeze(1), torch.nan)
        moved = F.pad(low.moved, (0, -len(x) % _GROUP), value=-torch.inf)
        return cls(start, low.x, x, low.scale[::_GROUP], moved.view(-1, _GROUP))


class Candidates:
    """The candidates of some queries so far, and the similarity that k keys of each are known to reach, its floor.

    A key whose value is s can only be among the k nearest if  s + fixed + slope moved + out |s| >= floor  (see
    :class:`Product`). Those keys are compared in float32, and again can only matter if that score reaches floor - near,
    near being the bound of a float32 score. The k-th best float32 score less ``near`` is the next floor.
    """

    def __init__(self, product: Product, queries: Tensor, k: int, floor: float) -> None:
        n = len(queries)
        self.queries, self.k = queries, k
        self.limit = max(1024, 8 * k)
        """A query with more candidates than this is given up: its neighbours are too close to call."""
        self.most_groups = block_rows(k) // (2 * _GROUP)
        """A query that half of a block's groups may matter to is given up: the product is too coarse for it."""
        self.given_up = torch.zeros(n, dtype=torch.bool)
        self.floor = torch.full((n,), floor, dtype=torch.float64)
        self._product, self._low = product, product.round(queries)
        self._fixed, self._slope = product.bound(self._low)
        self._near = float32_error(queries.shape[1], _MOVED)
        self._rows: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._places: list[Tensor] = []
        self._waiting = 0

    def give_up(self, rows: Tensor) -> None:
        """Take no further candidates for some queries, bool [n]."""
        self.given_up |= rows
        self.floor[rows] = torch.inf

    def compare(self, block: Block, space: Tensor) -> None:
        """Add the keys of a block that may be among the nearest; ``space`` holds their scores."""
        if self.given_up.all():
            return
        scores = self._multiply(block, space)
        least = self._least(block)
        best = self._best(scores, least, block)
        reached = best >= least
        needy = reached.sum(1) > self.most_groups
        if needy.any() and block.moved.shape[0] >= self.k:
            self._raise(scores, best, needy.nonzero().squeeze(1), block)
            least = self._least(block)
            reached = best >= least
            needy = reached.sum(1) > self.most_groups
        if needy.any():
            self.give_up(needy)
            reached[needy] = False
        self._look(scores, reached, least, block)
        if 2 * self._waiting > self.k * len(self.queries):
            self.tighten()

    def tighten(self) -> tuple[Tensor, Tensor]:
        """Raise the floor to what the k-th best candidate reaches and return rows and places of those that reach it."""
        n = len(self.queries)
        rows = torch.cat([torch.zeros(0, dtype=torch.int64), *self._rows])
        scores = torch.cat([torch.zeros(0), *self._scores])
        places = torch.cat([torch.zeros(0, dtype=torch.int64), *self._places])
        order = _by_row_and_score(rows, scores).argsort()
        rows, scores, places = rows[order], scores[order], places[order]
        starts = torch.searchsorted(rows, torch.arange(n + 1))
        full = starts[:-1] + self.k <= starts[1:]
        self._reach(full.nonzero().squeeze(1), scores[starts[:-1][full] + self.k - 1])
        keep = self._counts(rows, scores)
        crowded = torch.bincount(rows[keep], minlength=n) > self.limit
        if crowded.any():
            self.give_up(crowded)
            keep &= ~crowded[rows]
        rows, scores, places = rows[keep], scores[keep], places[keep]
        self._rows, self._scores, self._places, self._waiting = [rows], [scores], [places], 0
        return rows, places

    def _multiply(self, block: Block, space: Tensor) -> Tensor:
        """Return the unscaled products, [n, groups, group]."""
        n, b, padded = len(self.queries), len(block.keys), block.moved.numel()
        scores = space[: n * padded].view(n, padded)
        if b == padded:
            self._product.multiply(self._low.x, block.keys, out=scores)
        else:
            part = torch.empty(n, b, dtype=scores.dtype)
            self._product.multiply(self._low.x, block.keys, out=part)
            scores[:, :b], scores[:, b:] = part, _lowest(scores.dtype)
        return scores.view(n, -1, _GROUP)

    def _best(self, scores: Tensor, least: Tensor, block: Block) -> Tensor:
        """Return the largest value of each group, float32 [n, groups]."""
        if scores.is_floating_point() and bool((least > 0).all()):
            # Positive floats are ordered as their bits are and negative ones lie below: whole numbers compare faster.
            best = scores.view({2: torch.int16, 4: torch.int32}[scores.itemsize]).amax(-1).view(scores.dtype)
        else:
            best = scores.amax(-1)
        return best.float() * self._low.scale.unsqueeze(1) * block.scale

    def _least(self, block: Block) -> Tensor:
        """Return the least value that a key of each group must have to matter, float32 [n, groups]."""
        # From s + out |s| >= bar - slope moved, on either side of zero.
        least = self._bar().unsqueeze(1) - self._slope * block.moved.amax(1)
        out = self._product.out
        return torch.where(least > 0, least / (1 + out), least / (1 - out)) if out else least

    def _bar(self) -> Tensor:
        """Return what a value and the part of its bound that depends on the key must add up to, float32 [n]."""
        return (self.floor - self._fixed).float() - _ROUNDING

    def _raise(self, scores: Tensor, best: Tensor, rows: Tensor, block: Block) -> None:
        """Raise the floor of some queries to what the best keys of their k best groups reach."""
        group = best[rows].topk(self.k, dim=1).indices
        places = group * _GROUP + scores[rows.unsqueeze(1), group].argmax(-1)
        # The last group may be filled up with what reaches nothing.
        full = (places < len(block.x)).all(1)
        rows, places = rows[full], places[full]
        scores = _dots(self.queries, block.x, rows.repeat_interleave(self.k), places.view(-1))
        self._reach(rows, scores.view(-1, self.k).amin(1))

    def _look(self, scores: Tensor, reached: Tensor, least: Tensor, block: Block) -> None:
        """Add the keys that may matter of the groups that may, bool [n, groups]."""
        groups = len(block.scale)
        for pairs in reached.nonzero().split(_PAIRS):
            row, group = pairs.unbind(1)
            at = row * groups + group
            low = least.view(-1)[at] / (self._low.scale[row] * block.scale[group])
            values = scores.view(-1, _GROUP).index_select(0, at)
            pair, within = (values >= low.unsqueeze(1)).nonzero().unbind(1)
            self._add(row[pair], group[pair] * _GROUP + within, block)

    def _add(self, rows: Tensor, places: Tensor, block: Block) -> None:
        """Add pairs of query and key [c], sorted by query, if their float32 scores reach the floor."""
        scores = _dots(self.queries, block.x, rows, places)
        keep = self._counts(rows, scores)
        self._rows.append(rows[keep])
        self._scores.append(scores[keep])
        self._places.append(places[keep] + block.start)
        self._waiting += len(self._rows[-1])

    def _reach(self, rows: Tensor, scores: Tensor) -> None:
        """Take note of float32 scores that k keys of some queries reach."""
        self.floor[rows] = torch.maximum(self.floor[rows], scores.double() - self._near)

    def _counts(self, rows: Tensor, scores: Tensor) -> Tensor:
        """Return whether float32 scores may belong to one of the nearest, bool [c]."""
        return scores >= (self.floor - self._near)[rows]


def _lowest(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).min if dtype.is_floating_point else torch.iinfo(dtype).min


def _dots(queries: Tensor, keys: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """Return the float32 dot product of each pair of query [q, d] and key [b, d], [c]; pairs are sorted by query."""
    return dots_of_pairs(queries, keys, torch.searchsorted(rows, torch.arange(len(queries) + 1)), places)


def _by_row_and_score(rows: Tensor, scores: Tensor) -> Tensor:
    """Return one whole number each that orders by row, then by score from the largest down, int64 [c]."""
    bits = scores.view(torch.int32)
    ascending = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    return (rows << 32) + (0x7FFFFFFF - ascending)


def candidates(
    product: Product, queries: Tensor, blocks: Iterable[Block], k: int, floor: float = -torch.inf
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all keys that may be among the k nearest of each query and have at least a similarity of ``floor``.

    Parameters
    ----------
    product : Product
    queries : float32 Tensor [q, d]
        Of unit norm.
    blocks : iterable of Block
        The keys, in order, at most ``block_rows(k)`` at a time.
    k : int
    floor : float

    Returns
    -------
    rows, positions : int64 Tensor [c]
        Pairs of query and key.
    given_up : bool Tensor [q]
        Queries with too many candidates, for which no pairs are returned.
    """
    width = max(1, min(len(queries), _SCORES // block_rows(k)))
    chunks = [Candidates(product, part, k, floor) for part in queries.split(width)]
    space = torch.empty(block_rows(k) * width, dtype=product.score_dtype)
    for block in blocks:
        for chunk in chunks:
            chunk.compare(block, space)
    found = [chunk.tighten() for chunk in chunks]
    rows = torch.cat([r + i * width for i, (r, _) in enumerate(found)])
    return rows, torch.cat([p for _, p in found]), torch.cat([c.given_up for c in chunks])
