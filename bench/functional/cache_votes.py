"""Votes of cached images, exp(-beta (1 - cosine)) summed by class, and how often a grid of their settings is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.cost.meter import counted_as

_BLOCK = 1 << 17
"""Numbers of a block of cosines on a processor: 512 KiB, which stay in its cache while every beta is tried."""
_BLOCK_ELSEWHERE = 1 << 26
_QUERIES = 256
"""Queries of a block on a processor."""
_HELD = 1 << 26
"""Votes that are held at a time, of all betas: 256 MiB."""
_EXACT = 1 << 26
"""Pairs of query and image up to which every affinity is an exponential of its own."""
_RENEWED = 8
"""Of more pairs, one affinity in so many; those between are products, which err by 2^-24 each, as the float32 argument
of an exponential does at a beta of 1."""


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


def cached_votes(keys: Tensor, columns: Tensor, n_classes: int, x: Tensor, beta: float) -> Tensor:
    """Return the votes of cached images for queries, [q, c], with no more than 64 MiB of affinities at a time.

    Parameters
    ----------
    keys : Tensor [n, d]
    columns : int64 Tensor [n]
        The class of each key.
    x : Tensor [q, d]
        Queries of unit norm.
    """
    votes = x.new_empty(len(x), n_classes)
    n, size = len(keys), _BLOCK if x.device.type == "cpu" else _BLOCK_ELSEWHERE
    step = _QUERIES if x.device.type == "cpu" else max(1, _HELD // max(1, n))
    with counted_as(products=2 * x.numel() * n, elementwise=5 * len(x) * n):
        for start in range(0, len(x), step):
            asked = x[start : start + step].T
            sums = x.new_zeros(n_classes, asked.shape[1])
            for rows in _blocks(n, max(1, size // asked.shape[1])):
                affinity = (keys[rows] @ asked).mul_(beta).sub_(beta).exp_()
                sums.index_add_(0, columns[rows], affinity)
            votes[start : start + step] = sums.T
    return votes


@dataclass(frozen=True, eq=False)
class Grid:
    """A cache, and labelled images on which its settings are compared.

    Attributes
    ----------
    keys : Tensor [n, d]
    columns : int64 Tensor [n]
    n_classes : int
    x : Tensor [q, d]
        Unit norm.
    target : int64 Tensor [q]
    zero_shot : Tensor [q, c] or None
        What the votes are added to.
    """

    keys: Tensor
    columns: Tensor
    n_classes: int
    x: Tensor
    target: Tensor
    zero_shot: Tensor | None

    def hits(self, alphas: Sequence[float], betas: Sequence[float]) -> list[int]:
        """Return on how many images zero_shot + alpha votes(beta) is right, by beta, then by alpha.

        Of equal scores the first class counts. Betas must be evenly spaced.
        """
        (n, d), (q, c) = self.keys.shape, (len(self.x), self.n_classes)
        on_cpu = self.x.device.type == "cpu"
        right = torch.zeros(len(betas) * len(alphas), dtype=torch.int64, device=self.x.device)
        order = self.columns.argsort(stable=True)
        keys, columns = self.keys[order], self.columns[order]
        step = max(1, min(_QUERIES if on_cpu else q, _HELD // max(1, c * len(betas))))
        pairs = len(betas) * q * n
        with counted_as(products=2 * n * q * d, elementwise=5 * pairs + 3 * len(right) * q * c):
            for start in range(0, q, step):
                rows = slice(start, start + step)
                votes = self._votes(keys, columns, self.x[rows], betas)
                zero_shot = None if self.zero_shot is None else self.zero_shot[rows].T.contiguous()
                right += _right(votes, zero_shot, self.target[rows], alphas)
        # Read back together: one by one would wait for the device at each of some thousand pairs.
        found: list[int] = right.tolist()
        return found

    def _votes(self, keys: Tensor, columns: Tensor, x: Tensor, betas: Sequence[float]) -> Tensor:
        """Return the votes of some queries at each beta, [b, c, q]."""
        votes = x.new_zeros(len(betas), self.n_classes, len(x))
        size = _BLOCK if x.device.type == "cpu" else _BLOCK_ELSEWHERE
        exact = len(self.keys) * len(self.x) <= _EXACT
        step = betas[1] - betas[0] if len(betas) > 1 else 0.0
        for rows in _blocks(len(keys), max(1, size // len(x))):
            similar, at = keys[rows] @ x.T, columns[rows]
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


def _blocks(n: int, step: int) -> list[slice]:
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def _right(votes: Tensor, zero_shot: Tensor | None, target: Tensor, alphas: Sequence[float]) -> Tensor:
    """Return how many queries are right at each beta and alpha, int64 [b x a]; votes are [b, c, q]."""
    own, space = target.unsqueeze(0), torch.empty_like(votes[0])
    counts = []
    for vote in votes:
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
