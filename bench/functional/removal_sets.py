"""Which items are the fewest whose removal changes a vote: the sets behind the numbers of a certificate."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.functional.certificates import winners


def fewest_removals(
    columns: Tensor, weights: Tensor, rank: Tensor, k: int, least: int, *, counted: bool
) -> list[tuple[int, ...]]:
    """Return places of items whose removal changes the winner of a vote of the k nearest, in sets of ``least``.

    Of single items all that do; of several one set. With r items gone the votes are those of k of the k + r nearest.
    For a class B the items that must go are, of each other class, the largest votes that bring it below B; where that
    are fewer than r, items of other classes go with them, so that none of B's votes drop out.

    Parameters
    ----------
    columns : int64 Tensor [w]
        The classes of the nearest items of one query, nearest first; w = min(m, k + least) or more.
    weights : Tensor [w]
        The vote of each, not increasing.
    rank : int64 Tensor [c]
        Of two classes with equal votes the one of lower rank wins.
    least : int
        The number of the certificate; see :func:`bench.functional.certificates.removals_of_votes`.
    counted : bool
        Whether votes are whole numbers, so that ties are decided by rank; else sets that make a tie count.
    """
    window = min(len(columns), k + least)
    near, votes = columns[:window], weights[:window].double()
    start = _winner(near, votes, rank, k, ())
    if least == 1:
        return [(place,) for place in range(window) if _winner(near, votes, rank, k, (place,)) != start]
    for rival in near.unique().tolist():
        if rival == start:
            continue
        gone = _below(near, votes, rank, int(rival), counted)
        spare = [place for place in range(window) if int(near[place]) != rival and place not in gone]
        chosen = tuple(sorted([*gone, *spare[: max(0, least - len(gone))]]))
        if len(chosen) == least and _winner(near, votes, rank, k, chosen) == rival:
            return [chosen]
    return []


def _winner(columns: Tensor, votes: Tensor, rank: Tensor, k: int, gone: tuple[int, ...]) -> int:
    """Return who wins without some items; -1 where none is left."""
    stay = torch.ones(len(columns), dtype=torch.bool, device=columns.device)
    stay[list(gone)] = False
    near = columns[stay][:k]
    return int(winners(near.unsqueeze(0), votes[stay][:k].unsqueeze(0), rank)[0]) if len(near) else -1


def _below(columns: Tensor, votes: Tensor, rank: Tensor, rival: int, counted: bool) -> list[int]:
    """Return places of the fewest items without which no class beats the rival."""
    held = float(votes[columns == rival].sum())
    gone: list[int] = []
    for label in columns.unique().tolist():
        if label == rival:
            continue
        places = (columns == label).nonzero().squeeze(1).tolist()
        total = float(votes[places].sum())
        ahead = counted and int(rank[label]) < int(rank[rival])
        for place in places:
            if total < held or (total == held and not ahead):
                break
            gone.append(place)
            total -= float(votes[place])
    return gone
