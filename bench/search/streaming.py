"""Candidates by a threshold that rises as blocks of keys stream by: no key is sorted that cannot matter."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.search.products import Product, Rounded

_GROUP = 16
"""Keys whose largest score is compared with the threshold before any is looked at alone."""
_BLOCK = 1 << 13
_SCORES = 1 << 23
"""Scores of one block: 16 MiB in bfloat16, 32 MiB in float32."""
_PAIRS = 1 << 16
"""Pairs of group and query that are looked into at a time."""
_LOW = 0xFFFFFFFF


def block_rows(k: int) -> int:
    """Return how many keys are compared at a time: at least two groups for every neighbour that is wanted."""
    return max(_BLOCK, 2 * _GROUP * k)


class Candidates:
    """The candidates of some queries so far, and the score below which a key cannot be among the k nearest.

    If s is the k-th best score so far, k keys have a similarity of at least s - out |s| - error. A key with a score
    t has one of at most t + out |t| + error, so that only keys with t + out |t| >= s - out |s| - 2 error can matter.
    """

    def __init__(self, product: Product, queries: Rounded, k: int) -> None:
        n = len(queries.x)
        self.queries, self.k = queries.x, k
        self.limit = max(1024, 8 * k)
        """A query with more candidates than this is given up: its neighbours are too close to call."""
        self.given_up = torch.zeros(n, dtype=torch.bool)
        self.cut = torch.full((n,), -torch.inf, dtype=torch.float64)
        self._kth = self.cut.clone()
        self._product, self._rounded = product, queries
        self._moved, self._error = -1.0, torch.zeros(n, dtype=torch.float64)
        self._keys: list[Tensor] = []
        self._places: list[Tensor] = []
        self._waiting = 0

    def meet(self, moved: float) -> None:
        """Take note that further keys were moved this far by rounding: the bound is that of the most any was moved."""
        if moved > self._moved:
            self._moved, self._error = moved, self._product.error(self._rounded, moved)
            self.raise_to(self._kth)

    def raise_to(self, kth: Tensor) -> None:
        """Take note of scores that k keys of each query reach, [n]."""
        out = self._product.out
        self._kth = torch.maximum(self._kth, kth.double())
        floor = torch.where(self._kth > 0, self._kth * (1 - out), self._kth * (1 + out)) - 2 * self._error
        self.cut = torch.where(floor > 0, floor / (1 + out), floor / (1 - out))
        self.cut[self.given_up] = torch.inf

    def give_up(self, rows: Tensor) -> None:
        """Take no further candidates for some queries, bool [n]."""
        self.given_up |= rows
        self.cut[rows] = torch.inf

    def add(self, rows: Tensor, scores: Tensor, places: Tensor) -> None:
        """Add candidates: int64, float32, int64 Tensors [c]."""
        # One whole number orders by query, then by score from the largest down.
        bits = scores.view(torch.int32)
        ascending = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
        self._keys.append((rows << 32) + (0x7FFFFFFF - ascending))
        self._places.append(places)
        self._waiting += len(rows)
        if self._waiting > self.k * len(self.cut):
            self.tighten()

    def tighten(self) -> tuple[Tensor, Tensor]:
        """Raise the cut to the k-th best candidate, drop all below and return rows and places of the rest."""
        n = len(self.cut)
        keys, order = torch.cat([torch.zeros(0, dtype=torch.int64), *self._keys]).sort()
        places = torch.cat([torch.zeros(0, dtype=torch.int64), *self._places])[order]
        rows = keys >> 32
        ascending = (0x7FFFFFFF - (keys & _LOW)).int()
        scores = (ascending ^ ((ascending >> 31) & 0x7FFFFFFF)).view(torch.float32)
        starts = torch.searchsorted(rows, torch.arange(n + 1))
        full = starts[:-1] + self.k <= starts[1:]
        kth = torch.full((n,), -torch.inf)
        kth[full] = scores[starts[:-1][full] + self.k - 1]
        self.raise_to(kth)
        keep = scores >= self.cut[rows]
        crowded = torch.bincount(rows[keep], minlength=n) > self.limit
        if crowded.any():
            self.give_up(crowded)
            keep &= ~crowded[rows]
        self._keys, self._places, self._waiting = [keys[keep]], [places[keep]], 0
        return rows[keep], self._places[0]

    def compare(self, x: Tensor, start: int, space: Tensor) -> None:
        """Add the keys x [b, d], the first at position ``start``, that reach the cut; ``space`` holds their scores."""
        n, groups = len(self.queries), -(-len(x) // _GROUP)
        scores = space[: groups * _GROUP * n].view(groups * _GROUP, n)
        torch.mm(x, self.queries.T, out=scores[: len(x)])
        scores[len(x) :] = -torch.inf
        grouped = scores.view(groups, _GROUP, n)
        reached = _reached(grouped, self.cut)
        if groups >= self.k and int(reached.sum()) > self.k * n:
            # The k-th largest of the groups' best scores is reached by k keys.
            best = grouped.amax(1).float()
            self.raise_to(best.T.topk(self.k, dim=1).values[:, -1])
            reached = best >= self.cut
        crowded = reached.sum(0) > self.limit
        if crowded.any():
            self.give_up(crowded)
            reached[:, crowded] = False
        for pairs in reached.nonzero().split(_PAIRS):
            group, row = pairs.unbind(1)
            values = grouped[group, :, row].float()
            pair, within = (values >= self.cut[row].unsqueeze(1)).nonzero().unbind(1)
            self.add(row[pair], values[pair, within], start + group[pair] * _GROUP + within)


def _reached(grouped: Tensor, cut: Tensor) -> Tensor:
    """Return which groups hold a score that reaches the cut, bool [groups, q]; scores are [groups, group, q]."""
    if cut.min() <= 0:
        return grouped.amax(1) >= cut
    # Positive floats are ordered as their bits are and negative ones lie below; whole numbers compare faster.
    bits = cut.float().view(torch.int32)
    if grouped.dtype == torch.float32:
        return grouped.view(torch.int32).amax(1) >= bits
    return grouped.view(torch.int16).amax(1) >= ((bits + 0xFFFF) >> 16).to(torch.int16)


def candidates(
    product: Product, queries: Rounded, blocks: Iterator[tuple[int, Rounded]], k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all keys that may be among the k nearest of each query.

    Parameters
    ----------
    product : Product
    queries : Rounded [q, d]
    blocks : iterator of (start, Rounded [b, d])
        The keys, in order, at most ``block_rows(k)`` at a time.
    k : int

    Returns
    -------
    rows, positions : int64 Tensor [c]
        Pairs of query and key.
    given_up : bool Tensor [q]
        Queries with too many candidates, for which no pairs are returned.
    """
    width = max(1, min(len(queries.x), _SCORES // block_rows(k)))
    parts = zip(queries.x.split(width), queries.moved.split(width), strict=True)
    chunks = [Candidates(product, Rounded(x, moved), k) for x, moved in parts]
    space = torch.empty(block_rows(k) * width, dtype=product.dtype)
    for start, keys in blocks:
        moved = float(keys.moved.max())
        for chunk in chunks:
            chunk.meet(moved)
            chunk.compare(keys.x, start, space)
    found = [chunk.tighten() for chunk in chunks]
    rows = torch.cat([r + i * width for i, (r, _) in enumerate(found)])
    return rows, torch.cat([p for _, p in found]), torch.cat([c.given_up for c in chunks])
