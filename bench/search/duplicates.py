"""Which of many equal keys a search needs: a key with k equals before it is never among the k nearest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.search.room import Room
from bench.utils.random import Stream

_MARKED = 20
"""Bytes a number of a key takes while its mark is made: as it is, in float32 and as two whole numbers of 64 bits."""
_COMPARED = 9
"""Bytes a number takes where two keys are compared: each of them in float32, and whether they are equal."""


def needed(keys: Tensor, k: int, device: torch.device, room: Room) -> Tensor:
    """Return which keys may be among the k nearest of any query, bool [m] on a device.

    Equal vectors are equally near, and those at lower positions come first. Keys are grouped by a mark of 64 bits, and
    whether keys of one mark are equal is looked at, so that no other key is left out.

    Parameters
    ----------
    keys : Tensor [m, d]
        Any scale and floating dtype; may lie elsewhere.
    """
    wanted = torch.ones(len(keys), dtype=torch.bool, device=device)
    # The sort is stable, so keys of one mark lie side by side in the order of their positions.
    marks, order = _marks(keys, device, room).sort(stable=True)
    pairs = (marks[1:] == marks[:-1]).nonzero().squeeze(1)
    if len(pairs) < k:
        return wanted
    repeats = torch.zeros(len(keys), dtype=torch.bool, device=device)
    repeats[pairs + 1] = torch.cat(
        [
            (_rows(keys, order[some], device) == _rows(keys, order[some + 1], device)).all(1)
            for some in pairs.split(room.rows(_COMPARED * keys.shape[1]))
        ]
    )
    at = torch.arange(len(keys), device=device)
    begins = at.masked_fill(repeats, 0).cummax(0).values
    wanted[order[at - begins >= k]] = False
    return wanted


def _rows(keys: Tensor, positions: Tensor, device: torch.device) -> Tensor:
    return keys[positions.to(keys.device)].to(device).float()


def _marks(keys: Tensor, device: torch.device, room: Room) -> Tensor:
    """Return a number of each key that equal keys share, int64 [m]: sums of whole numbers do not depend on their order.

    The sum of the components' bits times random odd numbers, modulo 2^64.
    """
    d = keys.shape[1]
    odd = Stream(0).child("marks", d).numpy().integers(-(1 << 62), 1 << 62, d, dtype=np.int64) * 2 + 1
    factors = torch.from_numpy(odd).to(device)
    blocks = keys.split(room.rows(_MARKED * d))
    return torch.cat([(block.to(device).float().view(torch.int32) * factors).sum(1) for block in blocks])
