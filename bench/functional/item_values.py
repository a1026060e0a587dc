"""What items of a memory are worth: exact Shapley values of votes, and margins of items left out."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.functional.classwise import class_counts, class_sums, normalise

_NUMBERS = 1 << 22


def vote_shapley(positions: Tensor, gains: Tensor, k: int, n: int) -> Tensor:
    """Return the Shapley value of each item for U(S) = (1/k) sum of the gains of S's k nearest, float64 [n].

    With items sorted by similarity and v the gains,

        s_n = v_n min(k, n) / (n k),    s_i = s_{i+1} + (v_i - v_{i+1}) min(k, i) / (i k),

    averaged over the queries. Jia et al., Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms, VLDB
    2019, arXiv:1908.08619, theorem 1; the recursion holds for any values v, such as signed and weighted votes. Values
    of all items add up to the mean utility of the whole memory.

    Parameters
    ----------
    positions : int64 Tensor [q, t]
        Items of each query, nearest first. With t < n, those beyond are taken to gain nothing: then the error of an
        item is at most max|v| / t.
    gains : Tensor [q, t]
        What each is worth to its query if it is among the k nearest.
    k : int
        Voters.
    n : int
        Items in the memory.
    """
    values = torch.zeros(n, dtype=torch.float64, device=positions.device)
    q, t = positions.shape
    if not q or not t:
        return values
    place = torch.arange(1, t + 1, dtype=torch.float64, device=positions.device)
    share = place.clamp(max=k) / (place * k)
    step = max(1, _NUMBERS // t)
    for start in range(0, q, step):
        v = gains[start : start + step].double()
        differences = torch.cat([v[:, :-1] - v[:, 1:], v[:, -1:]], 1) * share
        s = differences.flip(1).cumsum(1).flip(1)
        values.index_add_(0, positions[start : start + step].flatten(), s.flatten())
    return values / q


def left_out_margins(x: Tensor, columns: Tensor, n_classes: int) -> Tensor:
    """Return for each item how much nearer its class's mean is than any other, float64 [n]; below 0 it looks misplaced.

    Cosines to class means of unit vectors; the item's own class is taken without it: (x.S - 1) / |S - x|. An item that
    is alone in its class has no mean to be near to, and margin NaN; so has every item of a memory of one class.

    Parameters
    ----------
    x : Tensor [n, d]
    columns : int64 Tensor [n]
        The class of each, in ``range(n_classes)``.
    """
    sums, counts = class_sums(x, columns, n_classes, unit=True), class_counts(columns, n_classes)
    norms = sums.norm(dim=1)
    margins = torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device)
    step = max(1, _NUMBERS // max(1, n_classes, x.shape[1]))
    for start in range(0, len(x), step):
        rows, own = normalise(x[start : start + step]).double(), columns[start : start + step]
        products = rows @ sums.T
        others = (products / norms.clamp(min=1e-30)).masked_fill(counts == 0, -torch.inf)
        best = others.scatter(1, own.unsqueeze(1), -torch.inf).amax(1)
        total = products.gather(1, own.unsqueeze(1)).squeeze(1)
        square = (rows * rows).sum(1)
        left = (norms[own] ** 2 - 2 * total + square).clamp(min=0).sqrt()
        margin = (total - square) / left.clamp(min=1e-30) - best
        margins[start : start + step] = margin.masked_fill((counts[own] < 2) | ~best.isfinite(), torch.nan)
    return margins
