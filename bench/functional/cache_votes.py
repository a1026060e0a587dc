"""Votes of cached images, exp(-beta (1 - cosine)) summed by class, and how often a grid of their settings is right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.cost.meter import counted_as
from bench.functional.classwise import normalise

_BLOCK = 1 << 17
"""Numbers of a block of cosines on a processor: 512 KiB, which stay in its cache while every beta is tried."""
_BLOCK_ELSEWHERE = 1 << 26
_QUERIES = 256
"""Queries of a block on a processor."""
_HELD = 1 << 26
"""Votes that are held at a time, of all betas: 256 MiB."""
_EXACT = 1 << 26
"""Pairs of query and image up to which every affinity is an exponential of its own."""
_RENEWED = 16
"""Of more pairs, one affinity in so many is an exponential; those between are products, which err by 2^-24 each, as the
float32 argument of an exponential does at a beta of 1."""
_KEYS = 1 << 14
"""Keys whose angles are taken at a time."""
_TAPS = 14
"""Of more pairs, votes between two betas at which they are counted are Lagrange's polynomial through so many."""
_NODES = range(1 - _TAPS // 2, _TAPS // 2 + 1)
"""Where they lie, from the one before on."""
_STRIDES = (8, 6, 5, 4, 3, 2)
"""Every how many betas of the grid votes are counted, if that is precise enough."""


def class_votes_of(similar: Tensor, columns: Tensor, n_classes: int, beta: float) -> Tensor:
    """Return exp(-beta (1 - s)) summed by class, [c, q].

    Images lie along the rows, so that one is added to all queries at once; a sum takes them in their order.

    Parameters
    ----------
    similar : Tensor [n, q]
        Cosines s of n images and q queries.
    columns : int64 Tensor [n]
        The class of each image, in ``range(n_classes)``.
    """
    affinity = (beta * similar - beta).exp()
    return similar.new_zeros(n_classes, similar.shape[1]).index_add(0, columns, affinity)


def cached_votes(
    keys: Tensor, columns: Tensor, n_classes: int, x: Tensor, beta: float, weights: Tensor | None = None
) -> Tensor:
    """Return the votes of cached images for queries, [q, c], with no more than 64 MiB of affinities at a time.

    Parameters
    ----------
    keys : Tensor [n, d]
    columns : int64 Tensor [n]
        The class of each key.
    x : Tensor [q, d]
        Queries of unit norm.
    weights : Tensor [n], optional
        What the affinities of each key are multiplied by.
    """
    votes = x.new_empty(len(x), n_classes)
    n, size = len(keys), _BLOCK if x.device.type == "cpu" else _BLOCK_ELSEWHERE
    step = _QUERIES if x.device.type == "cpu" else max(1, _HELD // max(1, n))
    with counted_as(products=2 * x.numel() * n, elementwise=(5 if weights is None else 6) * len(x) * n):
        for start in range(0, len(x), step):
            asked = x[start : start + step].T
            sums = x.new_zeros(n_classes, asked.shape[1])
            for rows in _blocks(n, max(1, size // asked.shape[1])):
                affinity = (keys[rows] @ asked).mul_(beta).sub_(beta).exp_()
                if weights is not None:
                    affinity.mul_(weights[rows].unsqueeze(1))
                sums.index_add_(0, columns[rows], affinity)
            votes[start : start + step] = sums.T
    return votes


@dataclass(frozen=True, eq=False)
class Grid:
    """A cache, and labelled images on which its settings are compared.

    Attributes
    ----------
    keys : Tensor [m, d]
        Unit norm.
    columns : int64 Tensor [m]
    rows : int64 Tensor [n]
        Which of the keys are in the cache.
    n_classes : int
    x : Tensor [q, d]
        Unit norm.
    target : int64 Tensor [q]
    zero_shot : Tensor [q, c] or None
        What the votes are added to.
    """

    keys: Tensor
    columns: Tensor
    rows: Tensor
    n_classes: int
    x: Tensor
    target: Tensor
    zero_shot: Tensor | None

    @property
    def _exact(self) -> bool:
        return len(self.rows) * len(self.x) <= _EXACT

    def hits(self, alphas: Sequence[float], betas: Sequence[float]) -> list[int]:
        """Return on how many images zero_shot + alpha votes(beta) is right, by beta, then by alpha.

        Of equal scores the first class counts. Betas must be evenly spaced.
        """
        n, d, q, c = len(self.rows), self.keys.shape[1], len(self.x), self.n_classes
        on_cpu = self.x.device.type == "cpu"
        step = _QUERIES if on_cpu else q
        counted = _counted_at(betas, None if self._exact else _least_cosine(self))
        step = max(1, min(step, _HELD // max(1, c * len(counted.betas))))
        right = torch.zeros(len(betas) * len(alphas), dtype=torch.int64, device=self.x.device)
        order = self.rows[self.columns[self.rows].argsort(stable=True)]
        pairs = len(counted.betas) * q * n
        between = 2 * counted.taps * len(betas) * q * c
        with counted_as(products=2 * n * q * d, elementwise=5 * pairs + between + 3 * len(right) * q * c):
            for start in range(0, q, step):
                here = slice(start, start + step)
                votes = self._votes(order, self.x[here], counted.betas)
                zero_shot = None if self.zero_shot is None else self.zero_shot[here].T.contiguous()
                right += _right(counted.between(votes), zero_shot, self.target[here], alphas)
        # Read back together: one by one would wait for the device at each of some thousand pairs.
        found: list[int] = right.tolist()
        return found

    def _votes(self, order: Tensor, x: Tensor, betas: Sequence[float]) -> Tensor:
        """Return the votes of some queries at each of some even betas, [b, c, q]; keys come in the given order."""
        votes = x.new_zeros(len(betas), self.n_classes, len(x))
        size = _BLOCK if x.device.type == "cpu" else _BLOCK_ELSEWHERE
        exact = self._exact
        step = betas[1] - betas[0] if len(betas) > 1 else 0.0
        for part in order.split(max(1, size // len(x))):
            similar, at = self.keys[part] @ x.T, self.columns[part]
            affinity, factor = torch.empty_like(similar), similar
            if not exact:
                factor = (similar - 1).mul_(step).exp_()
            for place, beta in enumerate(betas):
                if exact or place % _RENEWED == 0:
                    torch.mul(similar, beta, out=affinity).sub_(beta).exp_()
                else:
                    affinity.mul_(factor)
                votes[place].index_add_(0, at, affinity)
        return votes


@dataclass(frozen=True)
class _Counted:
    """At which betas votes are counted, and how those of the grid follow from them.

    A vote sum_i exp(-beta (1 - s_i)) is smooth in beta: between two betas it is the polynomial through those around,
    but for a share that :func:`_error` bounds by the least cosine s, and that is kept below float32's rounding.

    Attributes
    ----------
    betas : sequence of float
    stride : int
        The grid's betas from one of them to the next; 1 if these are the grid's.
    count : int
        The number of the grid's betas.
    """

    betas: Sequence[float]
    stride: int
    count: int

    @property
    def taps(self) -> int:
        """How many numbers each vote of the grid is made of."""
        return _TAPS if self.stride > 1 else 0

    def between(self, votes: Tensor) -> Iterator[Tensor]:
        """Yield the votes at each beta of the grid, [c, q], of those that were counted, [b, c, q]."""
        if self.stride == 1:
            yield from votes
            return
        for place in range(self.count):
            first, offset = place // self.stride, place % self.stride / self.stride
            if not offset:
                yield votes[first - _NODES[0]]
                continue
            weights = _lagrange(offset)
            found = votes[first] * weights[0]
            for vote, weight in zip(votes[first + 1 : first + _TAPS], weights[1:], strict=True):
                found.add_(vote, alpha=weight)
            yield found


def _counted_at(betas: Sequence[float], least: float | None) -> _Counted:
    """Return where to count votes of cosines that are at least ``least``; at all betas where it is None."""
    count = len(betas)
    if least is not None and count > 1:
        step = betas[1] - betas[0]
        for stride in _STRIDES:
            nodes = (count - 1) // stride + _TAPS
            if nodes < count and _error(stride * step * (1 - least), stride) <= 2**-24:
                even = [betas[0] + (_NODES[0] + node) * stride * step for node in range(nodes)]
                return _Counted(even, stride, count)
    return _Counted(betas, 1, count)


def _error(h: float, stride: int) -> float:
    """Return by what share the polynomial misses exp(-h t) at the betas between two of its nodes, which lie 1 apart.

    It grows with h, so that of a sum of such terms it is that of the one that falls fastest.
    """
    found = 0.0
    for place in range(1, stride):
        offset = place / stride
        terms = (weight * math.exp(h * (offset - node)) for node, weight in zip(_NODES, _lagrange(offset), strict=True))
        found = max(found, abs(sum(terms) - 1))
    return found


def _lagrange(offset: float) -> list[float]:
    """Return what each of T nodes counts at an offset from the node before, in 0 ... 1."""
    return [math.prod((offset - other) / (node - other) for other in _NODES if other != node) for node in _NODES]


def _least_cosine(grid: Grid) -> float:
    """Return a bound below all cosines of queries and keys, by their angles to the queries' mean direction."""
    middle = normalise(grid.x.mean(0, keepdim=True))[0]
    angles = [float((part @ middle).amin().clamp(-1, 1).acos()) for part in (grid.x, *grid.keys.split(_KEYS))]
    return math.cos(min(math.pi, angles[0] + max(angles[1:])))


def _blocks(n: int, step: int) -> list[slice]:
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def _right(votes: Iterable[Tensor], zero_shot: Tensor | None, target: Tensor, alphas: Sequence[float]) -> Tensor:
    """Return how many queries are right at each beta and alpha, int64 [b x a]; votes are [c, q] of each beta."""
    own, space = target.unsqueeze(0), None
    counts = []
    for vote in votes:
        space = torch.empty_like(vote) if space is None else space
        for alpha in alphas:
            scores = torch.mul(vote, alpha, out=space)
            counts.append(_hits(scores if zero_shot is None else scores.add_(zero_shot), own))
    return torch.stack(counts)


def _hits(scores: Tensor, own: Tensor) -> Tensor:
    """Return how many columns of scores [c, q] are largest first in the row of the own class, [1, q]."""
    if scores.device.type != "cpu":
        return (scores.argmax(0) == own).sum()
    # A processor finds a largest number five times as fast as its place, which ties alone need.
    mine = scores.gather(0, own)
    others = scores.scatter_(0, own, -torch.inf).amax(0, keepdim=True)
    hits, ties = (mine > others).sum(), mine == others
    if not bool(ties.any()):
        return hits
    return hits + (ties & (scores.argmax(0, keepdim=True) > own)).sum()
