"""How many edits change an answer where only one edit is exact: relabellings, linear heads, ranked votes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.functional.certificates import turned

_TINY = 1e-30
_ROUNDING = 1e-6
_NUMBERS = 1 << 22


def relabellings_of_weighed_votes(columns: Tensor, weights: Tensor, n_classes: int, most: int) -> tuple[Tensor, Tensor]:
    """Return the fewest relabellings that change the winner of a weighed vote, int64 [q], and where that is exact [q].

    For B to overtake the winner A, an item of A that becomes B's closes the gap by twice its vote, one of another class
    by its vote; so the largest of these give a lower bound. Where the same items make B beat all classes, it is exact.

    Parameters
    ----------
    columns : int64 Tensor [q, k]
        The classes of the voters.
    weights : Tensor [q, k]
        Their votes.
    """
    votes = weights.double()
    held = torch.zeros(len(columns), n_classes, dtype=torch.float64, device=columns.device).scatter_add_(
        1, columns, votes
    )
    winner = held.argmax(1)
    least = torch.full((len(columns),), most + 1, device=columns.device)
    attained = torch.full_like(least, most + 1)
    at = torch.arange(len(columns), device=columns.device)
    for rival in range(n_classes):
        mine = columns == rival
        gain = votes * (1 + (columns == winner.unsqueeze(1)).double())
        gain, order = gain.masked_fill(mine, -1.0).sort(dim=1, descending=True)
        gap = held[at, winner] - held[:, rival]
        reached = (gain.clamp(min=0).cumsum(1) >= gap.unsqueeze(1) * (1 - _ROUNDING)) & (gain > 0)
        first = torch.where(reached.any(1), reached.int().argmax(1) + 1, most + 1)
        first = first.masked_fill(winner == rival, most + 1)
        least = torch.minimum(least, first)
        # The items that closed the gap, given to B.
        moved = torch.zeros_like(mine).scatter_(1, order, torch.arange(columns.shape[1]).to(order) < first.unsqueeze(1))
        after = torch.where(moved & ~mine, rival, columns)
        again = torch.zeros_like(held).scatter_add_(1, after, votes)
        others = again.clone()
        others[:, rival] = -torch.inf
        wins = (again[:, rival] >= others.amax(1) * (1 - _ROUNDING)) & (winner != rival)
        attained = torch.where(wins, torch.minimum(attained, first), attained)
    least = least.clamp(max=most + 1)
    return least, (least == attained) | (least > most)


def relabellings_of_means(
    sums: Tensor, counts: Tensor, x: Tensor, columns: Tensor, queries: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """Return the fewest relabellings that change the nearest class mean, int64 [q], and where that is exact [q].

    One is tried for every item and every class. Beyond, the number is a lower bound: r items that go from A to B turn
    both sums by at most asin(r / |S|). Parameters are those of
    :func:`bench.functional.certificates.removals_from_means`.
    """
    x, queries, sums = x.double(), queries.double(), sums.double()
    norms, products = sums.norm(dim=1), queries @ sums.T
    cosines = (products / norms.clamp(min=_TINY)).masked_fill(counts == 0, -torch.inf)
    first, best = cosines.max(1)
    second = cosines.scatter(1, best.unsqueeze(1), -torch.inf).amax(1)
    cross = x @ sums.T
    length = (x * x).sum(1, keepdim=True)
    less = (norms[columns] ** 2 - 2 * cross.gather(1, columns.unsqueeze(1)).squeeze(1) + length.squeeze(1)).clamp(min=0)
    more = (norms**2 + 2 * cross + length).clamp(min=_TINY).sqrt()
    alone = counts[columns] == 1
    one = torch.zeros(len(queries), dtype=torch.bool, device=x.device)
    step = max(1, _NUMBERS // max(1, more.numel()))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        towards = queries[rows] @ x.T
        without = (products[rows][:, columns] - towards) / less.sqrt().clamp(min=_TINY)
        without = without.masked_fill(alone, -torch.inf)
        own = columns == best[rows].unsqueeze(1)
        staying = torch.where(own, without, first[rows].unsqueeze(1))
        joined = (products[rows].unsqueeze(1) + towards.unsqueeze(2)) / more
        joined = joined.scatter(2, best[rows].view(-1, 1, 1).expand(-1, len(x), 1), -torch.inf)
        joined = joined.scatter(2, columns.view(1, -1, 1).expand(len(towards), -1, 1), -torch.inf)
        won = joined.amax(2) >= staying - _ROUNDING
        lost = own & (without <= second[rows].unsqueeze(1) + _ROUNDING)
        one[rows] = (won | lost).any(1)
    angles = cosines.clamp(-1, 1).arccos().masked_fill(counts == 0, torch.pi)
    bound = turned(angles, norms, best, most, shared=True)
    return torch.where(one, 1, bound.clamp(min=2)), one | (bound > most)


def one_removal(
    scores: Tensor, after: Callable[[slice], Tensor], n_items: int, most: int, *, counted: bool = False
) -> tuple[Tensor, Tensor]:
    """Return 1 where the removal of one item changes an answer, else 2, int64 [q], and where that is exact [q].

    Parameters
    ----------
    scores : Tensor [q, c]
    after : callable
        Given some queries, their scores after each single removal, [b, n, c].
    n_items : int
    counted : bool
        Whether ``after`` scores as the method does, so that its own rule decides ties; else the adversary wins them.
    """
    best = scores.argmax(1)
    one = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    step = max(1, _NUMBERS // max(1, n_items * scores.shape[1]))
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        found = after(rows)
        if counted:
            one[rows] = (found.argmax(2) != best[rows].unsqueeze(1)).any(1)
            continue
        place = best[rows].view(-1, 1, 1).expand(-1, found.shape[1], 1)
        staying = found.gather(2, place).squeeze(2)
        others = found.scatter(2, place, -torch.inf).amax(2)
        size = _ROUNDING * torch.maximum(staying.abs(), others.abs()).nan_to_num(posinf=0.0, neginf=0.0)
        one[rows] = (others >= staying - size).any(1)
    # More than one removal is not looked at: an answer that stands one may fall to two.
    exact = one if most > 1 else torch.ones_like(one)
    return torch.where(one, 1, 2), exact
