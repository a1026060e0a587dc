"""The exact search elsewhere than on a processor: few kernels, each over as much as there is room for.

Float32 scores of a block of queries and a block of keys are made and a few more than k are kept of each query; those
are compared in float64 (:func:`bench.search.reference.nearest_of`). A query of which more keys are too near to tell
apart is given all keys that reach its floor, whatever their number, but no key that has k equals before it.

Nothing here waits for the device or launches a kernel a query or a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.search.duplicates import needed
from bench.search.reference import nearest_of, pair_similarities
from bench.search.room import Room
from bench.search.rounded_products import float32_error

_TILE = 1 << 10
"""Queries that a block of keys is compared with at a time, at least: it is read again for each so many."""
_ROUNDED = 16
"""Bytes that a number of a key takes to be brought to unit norm: as it is, in float32, and divided; four to spare."""
_SCORED = 8
"""Bytes a score takes while the largest are found."""
_LISTED = 24
"""Bytes a score takes where each may be listed: itself, two truths, a row and a position."""
_PAIRED = 128
"""Bytes a listed pair takes while pairs are put in order: a row, a position, a similarity, and orders of them."""


@dataclass(frozen=True, eq=False)
class _Keys:
    """Keys as float32 compares them, block by block; they are brought to unit norm once if one block holds them all.

    Attributes
    ----------
    keys : Tensor [m, d]
        As stored, perhaps on another device.
    device : torch.device
        Where they are compared.
    rows : int
        Keys in a block.
    """

    keys: Tensor
    device: torch.device
    rows: int
    _held: list[tuple[int, Tensor, Tensor | None]] = field(default_factory=list)

    @classmethod
    def of(cls, keys: Tensor, q: Tensor, wide: int, room: Room) -> _Keys:
        """Return the keys in blocks of at least ``wide`` rows that queries [q, d] can be compared with."""
        rows = min(room.rows(_ROUNDED * keys.shape[1]), room.rows(_SCORED * min(len(q), _TILE)))
        return cls(keys, q.device, min(len(keys), max(wide, rows)))

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield the position of each block's first key, its unit vectors, and which are not numbers, if any is."""
        if self._held:
            yield from self._held
            return
        for start in range(0, len(self.keys), self.rows):
            block = self._rounded(start)
            if self.rows == len(self.keys):
                self._held.append(block)
            yield block

    def _rounded(self, start: int) -> tuple[int, Tensor, Tensor | None]:
        x = normalise(self.keys[start : start + self.rows].to(self.device))
        lost = x.sum(1).isnan()
        return start, x, lost if bool(lost.any()) else None


def search(q: Tensor, keys: Tensor, k: int, room: Room) -> tuple[Tensor, Tensor]:
    """Return positions and float64 similarities of the k best keys, [q, k].

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
        Any scale, dtype and device.
    k : int
        From 1 to m.
    room : Room
        What a block may take on the queries' device.
    """
    wide = min(len(keys), k + max(8, k // 4))
    units = _Keys.of(keys, q, wide, room)
    values, places = _best(q, units, wide, room)
    # k keys are as near as the k-th score less the error, and none is nearer than its score and the error.
    floor = values[:, k - 1].double() - 2 * _error(keys.shape[1])
    # Said so that a query which is not a number, and compares with nothing, is left open.
    far = values < floor.unsqueeze(1)
    left = (~far[:, -1]).nonzero().squeeze(1) if wide < len(keys) else floor.new_zeros(0, dtype=torch.int64)
    width = max(k, wide - int(far.sum(1).min()))
    places, similarities = nearest_of(q, keys, places[:, :width], k, room)
    if len(left):
        found = _listed(q[left], units, floor[left], needed(keys, k, q.device, room), k, room)
        places[left], similarities[left] = found
    return places, similarities


def largest(q: Tensor, keys: Tensor, room: Room) -> tuple[Tensor, float]:
    """Return the largest float32 score of each query, [q], and how much it may err."""
    units = _Keys.of(keys, q, 1, room)
    values, _ = _best(q, units, 1, room)
    return values.squeeze(1), _error(keys.shape[1])


def _error(d: int) -> float:
    """Return how much a score errs.

    How a norm is added up may depend on the number of rows, so that a key's unit vector differs from the one it is
    compared by in float64. Two orders differ by (d + 2) u of the norm, for the squares are rounded, added and rooted,
    and each quotient by u: the vectors by (d + 4) u, and by what is of second order.
    """
    return float32_error(d, (d + 8) * 2.0**-24)


def _scores(q: Tensor, x: Tensor, lost: Tensor | None) -> Tensor:
    """Return float32 products [q, b]; what is not a number is nearest to nothing."""
    scores = q @ x.T
    return scores if lost is None else scores.masked_fill_(lost, -torch.inf)


def _best(q: Tensor, units: _Keys, wide: int, room: Room) -> tuple[Tensor, Tensor]:
    """Return the ``wide`` largest scores of each query in order and their positions, [q, wide]."""
    parts = q.split(room.rows(_SCORED * units.rows))
    best: list[tuple[Tensor, Tensor]] = []
    for start, x, lost in units:
        for number, part in enumerate(parts):
            values, places = _scores(part, x, lost).topk(min(wide, len(x)), dim=1)
            if not start:
                best.append((values, places))
                continue
            values = torch.cat([best[number][0], values], 1)
            places = torch.cat([best[number][1], places + start], 1)
            values, order = values.topk(wide, dim=1)
            best[number] = values, places.gather(1, order)
    return torch.cat([values for values, _ in best]), torch.cat([places for _, places in best])


def _listed(q: Tensor, units: _Keys, floor: Tensor, wanted: Tensor, k: int, room: Room) -> tuple[Tensor, Tensor]:
    """Return the k best of all wanted keys, bool [m], whose scores reach the queries' floors, float64 [q]."""
    answers: list[tuple[Tensor, Tensor]] = []
    pairs: list[tuple[Tensor, Tensor]] = []
    begun, waiting, most = 0, 0, room.rows(_PAIRED)
    start, size = 0, min(len(q), room.rows(_LISTED * len(units.keys)))
    while start < len(q):
        here = _reaching(q, units, floor, wanted, slice(start, start + size))
        count = sum(len(rows) for rows, _ in here)
        if count > most and size > 1:
            # More than can be put in order at a time: fewer queries, again.
            size = max(1, size * most // count)
            continue
        if pairs and waiting + count > most:
            answers.append(_nearest(q[begun:start], units.keys, pairs, begun, k, room))
            pairs, begun, waiting = [], start, 0
        pairs += here
        waiting += count
        start += size
    answers.append(_nearest(q[begun:], units.keys, pairs, begun, k, room))
    return torch.cat([places for places, _ in answers]), torch.cat([values for _, values in answers])


def _reaching(q: Tensor, units: _Keys, floor: Tensor, wanted: Tensor, part: slice) -> list[tuple[Tensor, Tensor]]:
    """Return the pairs of some queries and the wanted keys that reach their floors: rows and positions, int64 [c]."""
    pairs = []
    for start, x, lost in units:
        # What compares with nothing, since it is not a number, is not below its floor.
        reach = (_scores(q[part], x, lost) < floor[part].unsqueeze(1)).logical_not_()
        rows, places = reach.logical_and_(wanted[start : start + len(x)]).nonzero().unbind(1)
        pairs.append((rows + part.start, places + start))
    return pairs


def _nearest(
    q: Tensor, keys: Tensor, pairs: list[tuple[Tensor, Tensor]], begun: int, k: int, room: Room
) -> tuple[Tensor, Tensor]:
    """Return the k best of pairs of query, counted from ``begun``, and key; each query has at least k."""
    rows = torch.cat([rows for rows, _ in pairs]) - begun
    places = torch.cat([places for _, places in pairs])
    # Sorted by position, then by similarity, then by query, each leaving equals in the order before.
    packed = ((rows << 32) | places).sort().values
    rows, places = packed >> 32, packed & 0xFFFFFFFF
    similarities, order = pair_similarities(q, keys, rows, places, room).sort(descending=True, stable=True)
    rows, again = rows[order].sort(stable=True)
    first = torch.searchsorted(rows, torch.arange(len(q), device=q.device))
    at = again[first.unsqueeze(1) + torch.arange(k, device=q.device)]
    return places[order[at]], similarities[at]
