"""The answer that an exact search must give, and the search that gives it by doing nothing else.

Similarities are float64 dot products of the float32 unit vectors, each normalised as a row that lies contiguous in
memory; ties go to the lowest position. What is not a number is nearest to nothing: its similarities are -inf.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.algebra import normalise

_ELEMENTS = 1 << 18
"""Elements compared in float64 at a time: 2 MiB, which stay in the processor's cache."""


def dots(a: Tensor, b: Tensor) -> Tensor:
    """Return the float64 dot products of the rows of two float32 tensors, [..., d] and [..., d], which may broadcast.

    Equal rows give equal products: a row-wise sum adds each row in one fixed order, which a matrix product may not,
    and then duplicates would not tie.
    """
    return a.double().mul(b).sum(-1)


def pair_similarities(q: Tensor, keys: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
    """Return the similarity of each pair (row of q, position in keys), float64 [n].

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
        Any scale, dtype and device.
    rows, positions : int64 Tensor [n]
    """
    # In the order of the positions the keys are read almost one after the other.
    order = positions.argsort()
    sims = torch.empty(len(rows), dtype=torch.float64, device=q.device)
    for at in order.split(max(1, _ELEMENTS // q.shape[1])):
        sims[at] = dots(normalise(keys[positions[at].to(keys.device)].to(q.device)), q[rows[at]])
    return _told(sims)


def _told(similarities: Tensor) -> Tensor:
    return similarities.nan_to_num_(nan=-torch.inf)


def nearest_of(q: Tensor, keys: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return positions and float64 similarities of the k best of each query's candidates, [q, k].

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
    places : int64 Tensor [q, w]
        Candidates of each query, in any order, w >= k.
    """
    places = places.sort(1).values
    rows = torch.arange(len(q), device=q.device).unsqueeze(1).expand_as(places)
    sims = pair_similarities(q, keys, rows.reshape(-1), places.reshape(-1)).view(places.shape)
    value, order = sims.sort(dim=1, descending=True, stable=True)
    return places.gather(1, order[:, :k]), value[:, :k]


def search_float64(q: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return positions and float64 similarities of the k best keys, [q, k], by comparing all in float64."""
    step = max(1, _ELEMENTS // q.shape[1])
    values = torch.zeros(len(q), 0, dtype=torch.float64, device=q.device)
    places = torch.zeros(len(q), 0, dtype=torch.int64, device=q.device)
    for start in range(0, len(keys), step):
        block = normalise(keys[start : start + step].to(q.device).contiguous())
        sims = _told(torch.stack([dots(row, block) for row in q]))
        here = torch.arange(start, start + len(block), device=q.device).expand_as(sims)
        # What was found before stands first and the sort is stable, so that ties stay with the lower positions.
        values, order = torch.cat([values, sims], 1).sort(dim=1, descending=True, stable=True)
        values, places = values[:, :k], torch.cat([places, here], 1).gather(1, order[:, :k])
    return places, values
