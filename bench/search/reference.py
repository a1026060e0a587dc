"""The definition of exact search, as a reference implementation.

Similarities are float64 dot products of the float32 unit vectors, each normalised as a row that lies contiguous in
memory; ties go to the lowest position. What is not a number is nearest to nothing: its similarities are -inf.

Equal vectors must give equal products, since duplicates tie. A matrix product may add the rows of one matrix in
different orders; what is used here adds each in one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.functional.classwise import normalise
from bench.search.pair_dots import dots_of_pairs
from bench.search.room import Room, in_room, on_processor

_KEYS = 512
"""Keys that are held in float64 at a time: 2 MiB for d = 512, which stay in the processor's cache."""
_QUERIES = 1 << 12
"""Queries that are held in float64 at a time."""
_PAIRED = 12
"""Bytes a number of a pair takes elsewhere: a float32 unit vector, and it or the product in float64."""


@torch.no_grad()
def pair_similarities(q: Tensor, keys: Tensor, rows: Tensor, positions: Tensor, room: Room | None = None) -> Tensor:
    """Return the similarity of each pair (row of q, position in keys), float64 [n].

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
        Any scale, dtype and device.
    rows, positions : int64 Tensor [n]
    room : Room, optional
        What a block may take where q does not lie on a processor; by default what there is.
    """
    if not on_processor(q):
        if room is None:
            return in_room(q.device, lambda room: _in_chunks(q, keys, rows, positions, room))
        return _in_chunks(q, keys, rows, positions, room)
    # In the order of the positions the keys are read almost one after the other, each once.
    order = positions.argsort(stable=True)
    similarities = torch.empty(len(rows), dtype=torch.float64, device=q.device)
    for start in range(0, len(q), _QUERIES):
        at = order
        if len(q) > _QUERIES:
            at = order[(rows[order] >= start) & (rows[order] < start + _QUERIES)]
        some = q[start : start + _QUERIES].double()
        similarities[at] = _by_key(some, keys, rows[at] - start, positions[at])
    return _told(similarities)


def _in_chunks(q: Tensor, keys: Tensor, rows: Tensor, positions: Tensor, room: Room) -> Tensor:
    """Return the similarity of each pair, multiplied and added up in chunks of one shape.

    How a device shares a sum among its threads may depend on how many sums there are, never on which. So the last
    chunk is filled up, and equal vectors have equal products wherever they stand.
    """
    n = len(rows)
    if not n:
        return q.new_zeros(0, dtype=torch.float64)
    chunks = -(-n // room.rows(_PAIRED * q.shape[1] + 64))
    size = -(-n // chunks)
    if n < chunks * size:
        rows, positions = F.pad(torch.stack([rows, positions]), (0, chunks * size - n))
    found = []
    for row, place in zip(rows.split(size), positions.split(size), strict=True):
        products = normalise(keys[place.to(keys.device)].to(q.device)).double()
        found.append(products.mul_(q[row]).sum(-1))
    return _told(torch.cat(found)[:n])


def _by_key(q: Tensor, keys: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
    """Return the dot product of each pair, which lie in the order of the positions; q is float64."""
    distinct, counts = positions.unique_consecutive(return_counts=True)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    found = [q.new_zeros(0)]
    for start in range(0, len(distinct), _KEYS):
        units = normalise(keys.index_select(0, distinct[start : start + _KEYS].to(keys.device)).to(q.device)).double()
        here = ends[start : start + _KEYS + 1]
        found.append(dots_of_pairs(units, q, here - here[0], rows[here[0] : here[-1]]))
    return torch.cat(found)


def _told(similarities: Tensor) -> Tensor:
    return similarities.nan_to_num_(nan=-torch.inf)


def nearest_of(q: Tensor, keys: Tensor, places: Tensor, k: int, room: Room | None = None) -> tuple[Tensor, Tensor]:
    """Return positions and float64 similarities of the k best of each query's candidates, [q, k].

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
    places : int64 Tensor [q, w]
        Candidates of each query, in any order, w >= k.
    room : Room, optional
        See :func:`pair_similarities`.
    """
    places = places.sort(1).values
    rows = torch.arange(len(q), device=q.device).unsqueeze(1).expand_as(places)
    sims = pair_similarities(q, keys, rows.reshape(-1), places.reshape(-1), room).view(places.shape)
    value, order = sims.sort(dim=1, descending=True, stable=True)
    return places.gather(1, order[:, :k]), value[:, :k]


def search_float64(q: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return positions and float64 similarities of the k best keys, [q, k], by comparing all in float64."""
    values = torch.zeros(len(q), 0, dtype=torch.float64, device=q.device)
    places = torch.zeros(len(q), 0, dtype=torch.int64, device=q.device)
    for start in range(0, len(keys), _KEYS):
        here = torch.arange(start, min(start + _KEYS, len(keys)), device=q.device).expand(len(q), -1)
        rows = torch.arange(len(q), device=q.device).unsqueeze(1).expand_as(here)
        found = pair_similarities(q, keys, rows.reshape(-1), here.reshape(-1)).view(here.shape)
        # What was found before stands first and the sort is stable, so that ties stay with the lower positions.
        values, order = torch.cat([values, found], 1).sort(dim=1, descending=True, stable=True)
        values, places = values[:, :k], torch.cat([places, here], 1).gather(1, order[:, :k])
    return places, values
