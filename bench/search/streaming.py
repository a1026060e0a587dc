"""Candidates by a threshold that rises as blocks of keys stream by: no key is sorted that cannot matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from math import comb

import torch
from torch import Tensor

from bench.search.key_blocks import GROUP, Block, block_rows
from bench.search.rounded_products import Product, float32_error

_SCORES = 1 << 23
"""Scores of one block: 16 MiB in bfloat16, 32 MiB in float32 and int32."""
_PAIRS = 1 << 16
"""Pairs of query and group that are looked into at a time."""
_MOVED = 2.0**-17
"""More than any key is moved that float32 compares as it is stored, or with its norm, of up to 200 dimensions."""
_MISSED = 2.0**-16
"""The chance that a guessed floor lies above a query's k-th neighbour, at most; such a query is searched again."""
_MOST = 2.0**30
"""More than any product of whole numbers is."""
_ROUNDING = 2.0**-20
"""More than float32 errs where it compares a value near 1 and its bounds."""


@cache
def rank_of_guess(k: int, seen: int, total: int) -> int:
    """Return which of the best of some keys, drawn from all at random, is hardly nearer than the k-th best of all.

    Of the k best, as many are drawn as a hypergeometric number, whose upper tail is below that of a binomial one with k
    trials of the share that was drawn.
    """
    share, tail = min(1.0, seen / total), 0.0
    for rank in range(k, 0, -1):
        tail += comb(k, rank) * share**rank * (1 - share) ** (k - rank)
        if tail > _MISSED:
            return min(k, rank + 1)
    return 1


class Candidates:
    """The candidates of some queries so far, and the similarity that k keys of each are known to reach, its floor.

    A key whose value is s can only be among the k nearest if  s + fixed + slope moved + out |s| >= floor  (see
    :class:`Product`). Those keys are compared in float32, and again can only matter if that score reaches floor - near,
    near being the bound of a float32 score. The k-th best float32 score less ``near`` is the next floor.

    Of keys that come in a random order, ``total`` in all, a better one serves as a guess (:func:`rank_of_guess`). That
    no neighbour was missed by it shows in the end: k keys reach it.
    """

    def __init__(self, product: Product, queries: Tensor, k: int, floor: float, total: int | None = None) -> None:
        n = len(queries)
        self.queries, self.k, self.total, self.seen = queries, k, total, 0
        self.limit = max(1024, 8 * k)
        """A query with more candidates than this is given up: its neighbours are too close to call."""
        self.most_groups = round(product.most * block_rows(k) / GROUP)
        """A query that more of a block's groups may matter to is given up: the product is too coarse for it."""
        self.given_up = torch.zeros(n, dtype=torch.bool)
        self.floor = torch.full((n,), floor, dtype=torch.float64)
        low = product.round_queries(queries)
        self._product, (self._asked, self._scale) = product, product.prepared(low)
        self._fixed, self._slope = product.bound(low)
        d = queries.shape[1]
        self._near = float32_error(d, max(_MOVED, (d / 2 + 8) * 2.0**-24))
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
        self.seen += len(block.x)
        scores = self._multiply(block, space)
        least = self._least(block)
        best = self._best(scores, least, block)
        reached = best >= least
        needy = reached.sum(1) > self.most_groups
        if needy.any() and block.moved.shape[0] >= self._rank(len(block.x)):
            self._raise(scores, best, needy.nonzero().squeeze(1), block)
            least = self._least(block)
            reached = best >= least
            needy = reached.sum(1) > self.most_groups
        if needy.any():
            self.give_up(needy)
            reached[needy] = False
        if scores.is_contiguous():
            self._look(scores, reached, least, block)
        else:
            self._look_at_bytes(scores, least, block)
        rank = self._rank(self.seen)
        if 2 * self._waiting > rank * len(self.queries):
            self._tighten(rank)

    def end(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows and positions of the candidates that may be among the nearest, and which queries missed some."""
        reached = self._tighten(self.k)
        missed = (reached < self.floor) & ~self.given_up
        return self._rows[0], self._places[0], missed

    def _rank(self, seen: int) -> int:
        """Return which of the best of so many keys gives the floor."""
        return self.k if self.total is None else rank_of_guess(self.k, seen, self.total)

    def _tighten(self, rank: int) -> Tensor:
        """Raise the floor to what the candidate of some rank reaches, keep what reaches it, and return it, [n]."""
        n = len(self.queries)
        rows = torch.cat([torch.zeros(0, dtype=torch.int64), *self._rows])
        scores = torch.cat([torch.zeros(0), *self._scores])
        places = torch.cat([torch.zeros(0, dtype=torch.int64), *self._places])
        order = _by_row_and_score(rows, scores).argsort()
        rows, scores, places = rows[order], scores[order], places[order]
        starts = torch.searchsorted(rows, torch.arange(n + 1))
        full = (starts[:-1] + rank <= starts[1:]).nonzero().squeeze(1)
        reached = torch.full_like(self.floor, -torch.inf)
        reached[full] = scores[starts[full] + rank - 1].double() - self._near
        self.floor = torch.maximum(self.floor, reached)
        keep = self._counts(rows, scores)
        crowded = torch.bincount(rows[keep], minlength=n) > self.limit
        if crowded.any():
            self.give_up(crowded)
            keep &= ~crowded[rows]
        rows, scores, places = rows[keep], scores[keep], places[keep]
        self._rows, self._scores, self._places, self._waiting = [rows], [scores], [places], 0
        return reached

    def _multiply(self, block: Block, space: Tensor) -> Tensor:
        """Return the unscaled products, [n, groups, group]."""
        n, b, padded = len(self.queries), len(block.keys), block.moved.numel()
        scores = space[: n * padded].view(n, padded)
        if b == padded:
            scores = self._product.multiply(self._asked, block.keys, out=scores)
        else:
            part = torch.empty(n, b, dtype=scores.dtype)
            scores[:, :b] = self._product.multiply(self._asked, block.keys, out=part)
            scores[:, b:] = _lowest(scores.dtype)
        return scores.view(n, -1, GROUP)

    def _best(self, scores: Tensor, least: Tensor, block: Block) -> Tensor:
        """Return the largest value of each group, float32 [n, groups]."""
        if not scores.is_contiguous():
            # Key by key, as the product made them: their largest are those of whole rows.
            best = scores.permute(1, 2, 0).amax(1).T
        elif scores.is_floating_point() and bool((least > 0).all()):
            # Positive floats are ordered as their bits are and negative ones lie below: whole numbers compare faster.
            best = scores.view({2: torch.int16, 4: torch.int32}[scores.itemsize]).amax(-1).view(scores.dtype)
        else:
            best = scores.amax(-1)
        return best.float() * self._scale.unsqueeze(1) * block.scale

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
        """Raise the floor of some queries to what the best keys of their best groups reach, k where none is guessed."""
        rank = self._rank(len(block.x))
        group = best[rows].topk(min(self._product.spare * rank, best.shape[1]), dim=1).indices
        places = group * GROUP + scores[rows.unsqueeze(1), group].argmax(-1)
        # The last group may be filled up with what reaches nothing.
        full = (places < len(block.x)).all(1)
        rows, places = rows[full], places[full]
        scores = block.dots(self.queries, rows.repeat_interleave(places.shape[1]), places.view(-1))
        reached = scores.view(places.shape).topk(rank, dim=1).values[:, -1].double() - self._near
        self.floor[rows] = torch.maximum(self.floor[rows], reached)

    def _look(self, scores: Tensor, reached: Tensor, least: Tensor, block: Block) -> None:
        """Add the keys that may matter of the groups that may, bool [n, groups]."""
        groups = len(block.scale)
        for pairs in reached.nonzero().split(_PAIRS):
            row, group = pairs.unbind(1)
            at = row * groups + group
            low = least.view(-1)[at] / (self._scale[row] * block.scale[group])
            if not scores.is_floating_point():
                # Whole numbers are compared with each other twice as fast.
                low = low.nan_to_num_(_MOST, _MOST, -_MOST).ceil_().clamp_(-_MOST, _MOST).int()
            values = scores.view(-1, GROUP).index_select(0, at)
            pair, within = (values >= low.unsqueeze(1)).nonzero().unbind(1)
            rows, places = row[pair], group[pair] * GROUP + within
            if block.moved.numel() > len(block.x):
                # The lowest byte, which fills up the last group, is reached too.
                full = places < len(block.x)
                rows, places = rows[full], places[full]
            self._add(rows, places, block)

    def _look_at_bytes(self, scores: Tensor, least: Tensor, block: Block) -> None:
        """Add the keys of a whole block that may matter, of bytes that lie key by key: all are compared at once."""
        low = least / (self._scale.unsqueeze(1) * block.scale)
        low = low.nan_to_num_(0, 255, 0).ceil_().clamp_(0, 255).masked_fill_(self.given_up.unsqueeze(1), 255)
        hits = scores.permute(1, 2, 0) >= low.T.to(torch.uint8, memory_format=torch.contiguous_format).unsqueeze(1)
        places, rows = _set_bytes(hits.view(len(block.x), len(self.queries)))
        self._add(rows, places, block)

    def _add(self, rows: Tensor, places: Tensor, block: Block) -> None:
        """Add pairs of query and key [c], sorted by query, if their float32 scores reach the floor."""
        scores = block.dots(self.queries, rows, places)
        keep = self._counts(rows, scores)
        self._rows.append(rows[keep])
        self._scores.append(scores[keep])
        self._places.append(block.positions[places[keep]])
        self._waiting += len(self._rows[-1])

    def _counts(self, rows: Tensor, scores: Tensor) -> Tensor:
        """Return whether float32 scores may belong to one of the nearest, bool [c]."""
        return scores >= (self.floor - self._near)[rows]


def _set_bytes(hits: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of what is true in a matrix where little is; eight are looked at together."""
    n = hits.shape[1]
    if n % 8:
        rows, columns = hits.nonzero().unbind(1)
        return rows, columns
    words = hits.view(torch.int64).view(-1).nonzero().squeeze(1)
    word, byte = hits.view(-1, 8).index_select(0, words).nonzero().unbind(1)
    places = words[word] * 8 + byte
    return places // n, places % n


def _lowest(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).min if dtype.is_floating_point else torch.iinfo(dtype).min


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
        The keys, at most ``block_rows(k)`` at a time.
    k : int
    floor : float

    Returns
    -------
    rows, positions : int64 Tensor [c]
        Pairs of query and key.
    given_up : bool Tensor [q]
        Queries with too many candidates, for which no pairs are returned.
    """
    rows, positions, given_up, _ = _streamed(product, queries, blocks, k, floor, None)
    return rows, positions, given_up


def candidates_by_guess(
    product: Product, queries: Tensor, blocks: Callable[[], Iterable[Block]], total: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what :func:`candidates` does, of ``total`` keys whose blocks come in a random order, sooner.

    Floors are guessed; the queries that missed a neighbour by it are searched again.
    """
    rows, positions, given_up, missed = _streamed(product, queries, blocks(), k, -torch.inf, total)
    again = missed.nonzero().squeeze(1)
    if len(again):
        more, more_positions, given_up[again] = candidates(product, queries[again], blocks(), k)
        kept = ~missed[rows]
        rows, positions = torch.cat([rows[kept], again[more]]), torch.cat([positions[kept], more_positions])
    return rows, positions, given_up


def _streamed(
    product: Product, queries: Tensor, blocks: Iterable[Block], k: int, floor: float, total: int | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return pairs and queries as :func:`candidates` does, and the queries that missed some, bool [q]."""
    width = max(1, min(len(queries), _SCORES // block_rows(k)))
    chunks = [Candidates(product, part, k, floor, total) for part in queries.split(width)]
    space = torch.empty(block_rows(k) * width, dtype=product.score_dtype)
    for block in blocks:
        for chunk in chunks:
            chunk.compare(block, space)
    found = [chunk.end() for chunk in chunks]
    rows = torch.cat([r + i * width for i, (r, _, _) in enumerate(found)])
    positions, missed = (torch.cat([f[i] for f in found]) for i in (1, 2))
    return rows, positions, torch.cat([c.given_up for c in chunks]), missed
