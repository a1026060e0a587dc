"""How many edits of a memory change an answer: exact rules for votes and for class means, as pure functions.

Each function returns for every query the least number of edits, from 1 to ``most``, after which another class can win;
``most + 1`` says that no edits of that kind, up to ``most`` of them, change it. The adversary knows the query, and wins
ties that rounding could decide.

The rules for removal and insertion are counterparts of those of Jia et al., Certified Robustness of Nearest Neighbors
against Data Poisoning and Backdoor Attacks, AAAI 2022, arXiv:2012.03765, whose bounds are for replacement; these are
the least numbers themselves, which ``tests/parity/test_certificates.py`` compares with all subsets of small memories.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TINY = 1e-30
_ROUNDING = 1e-6
"""Sums of votes that are relatively nearer than this are taken for a tie, which the adversary wins."""
_NUMBERS = 1 << 22
"""Numbers of an intermediate table: 32 MiB in float64."""


def removals_of_votes(columns: Tensor, weights: Tensor, rank: Tensor, k: int, most: int, *, counted: bool) -> Tensor:
    """Return the fewest items whose removal changes the winner of a vote of the k nearest, int64 [q].

    With r items gone, the votes are those of k of the L = min(m, k + r) nearest. Class B wins if and only if from every
    other class the fewest largest votes are removed that bring it below B, and these are at most r in all. Item i is
    among them if the votes of its class from i on, in the order of similarity, exceed all of B's.

    Parameters
    ----------
    columns : int64 Tensor [q, w]
        The classes of the nearest items, nearest first; w = min(m, k + most).
    weights : Tensor [q, w]
        The vote of each, not increasing.
    rank : int64 Tensor [c]
        Of two classes with equal votes the one of lower rank wins.
    k : int
        Voters.
    most : int
        The largest number asked for.
    counted : bool
        Whether votes are whole numbers, so that ties are decided by rank; else the adversary wins them.
    """

    def rule(near: Tensor, votes: Tensor) -> Tensor:
        return _removals(near, votes, rank, k, most, counted)

    return _by_blocks(rule, columns, weights)


def relabellings_of_votes(columns: Tensor, rank: Tensor, k: int, most: int) -> Tensor:
    """Return the fewest items of the k nearest whose relabelling changes the winner of a count, int64 [q].

    r items become B's: feasible if every other class loses as many as bring it below B with r more, at most r in all,
    and B has r votes to gain. Parameters are those of :func:`removals_of_votes`, of the k nearest.
    """
    near = columns[:, :k]
    return _by_blocks(lambda near, votes: _relabellings(near, votes, rank, most), near, torch.ones_like(near))


def insertions_into_votes(
    columns: Tensor, weights: Tensor, rank: Tensor, k: int, most: int, *, counted: bool
) -> Tensor:
    """Return the fewest vectors whose insertion changes the winner of a vote of the k nearest, int64 [q].

    The best r insertions lie at the query and are all of one class B: the last r of the k nearest drop out, and B wins
    if its votes among the first k - r and r times the largest possible vote beat those of all others. Parameters are
    those of :func:`removals_of_votes`, of the k nearest; an item at the query itself has a vote of 1.
    """

    def rule(near: Tensor, votes: Tensor) -> Tensor:
        return _insertions(near, votes, rank, k, most, counted)

    return _by_blocks(rule, columns[:, :k], weights[:, :k])


def insertions_into_means(sums: Tensor, cosines: Tensor, most: int) -> Tensor:
    """Return the fewest vectors whose insertion changes the nearest class mean by cosine, int64 [q].

    r unit vectors turn the sum S of a class by at most asin(r / |S|), which is attained, and by any angle from r = |S|
    on. The answer A changes if and only if for some B and r = r_A + r_B

        theta_B - turn(r_B, S_B)  <  theta_A + turn(r_A, S_A).

    Parameters
    ----------
    sums : float64 Tensor [c, d]
        The sum of the unit vectors of each class; zeros for a class without items.
    cosines : Tensor [q, c]
        Of each query to each sum; anything for a class without items.
    most : int
        The largest number asked for.
    """
    norms = sums.double().norm(dim=1)
    angles = cosines.double().clamp(-1, 1).arccos()
    # A class without items lies wherever its first vector is put.
    best = angles.masked_fill(norms == 0, torch.inf).argmin(1)
    return turned(angles.masked_fill(norms == 0, torch.pi), norms, best, most)


def removals_from_means(
    sums: Tensor, counts: Tensor, x: Tensor, columns: Tensor, queries: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """Return the fewest items whose removal changes the nearest class mean, int64 [q], and where that is exact [q].

    One removal is tried for every item: with S the sum of its class, its cosine becomes
    (q.S - q.x) / |S - x|, where |S - x|^2 = |S|^2 - 2 x.S + 1. Beyond one, the number is a lower bound: r vectors turn
    S by at most asin(r / |S|), whatever they are.

    Parameters
    ----------
    sums : float64 Tensor [c, d]
        The sum of the unit vectors of each class.
    counts : int64 Tensor [c]
        Its items.
    x : Tensor [n, d]
        The items, of unit norm.
    columns : int64 Tensor [n]
        The class of each.
    queries : Tensor [q, d]
        Of unit norm.
    most : int
        The largest number asked for.
    """
    queries, sums = queries.double(), sums.double()
    norms = sums.norm(dim=1)
    cosines = (queries @ sums.T / norms.clamp(min=_TINY)).masked_fill(counts == 0, -torch.inf)
    best = cosines.argmax(1)
    one = torch.zeros(len(queries), dtype=torch.bool, device=x.device)
    step = max(1, _NUMBERS // max(1, len(x)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        one[rows] = changed_by_one(sums, counts, x, columns, queries[rows]).any(1)
    angles = cosines.clamp(-1, 1).arccos().masked_fill(counts == 0, torch.inf)
    bound = turned(angles, norms, best, most)
    return torch.where(one, 1, bound.clamp(min=2)), one | (bound > most)


def changed_by_one(sums: Tensor, counts: Tensor, x: Tensor, columns: Tensor, queries: Tensor) -> Tensor:
    """Return whether the removal of each item alone changes the nearest class mean of each query, bool [q, n].

    Parameters are those of :func:`removals_from_means`.
    """
    x, queries, sums = x.double(), queries.double(), sums.double()
    norms, products = sums.norm(dim=1), queries @ sums.T
    cosines = (products / norms.clamp(min=_TINY)).masked_fill(counts == 0, -torch.inf)
    first, best = cosines.max(1, keepdim=True)
    second = cosines.scatter(1, best, -torch.inf).amax(1, keepdim=True)
    left = (norms[columns] ** 2 - 2 * (x * sums[columns]).sum(1) + (x * x).sum(1)).clamp(min=0).sqrt()
    after = (products[:, columns] - queries @ x.T) / left.clamp(min=_TINY)
    # A class that loses its last item answers nothing.
    after = after.masked_fill(counts[columns] == 1, -torch.inf)
    own = columns == best
    lost = own & (after <= second + _ROUNDING)
    won = ~own & (after >= first - _ROUNDING)
    changed: Tensor = (lost | won) & second.isfinite()
    return changed


def turned(angles: Tensor, norms: Tensor, best: Tensor, most: int, *, shared: bool = False) -> Tensor:
    """Return the least number of unit vectors that can turn sums so that another class is nearest, int64 [q].

    With ``shared`` each vector turns two sums, as one that goes from a class to another does.
    """
    numbers = torch.arange(most + 1, device=angles.device, dtype=torch.float64)
    share = numbers / norms.clamp(min=_TINY).unsqueeze(1)
    turn = torch.where(share < 1, share.clamp(max=1).asin(), torch.pi)
    own = angles.gather(1, best.unsqueeze(1)) + turn[best]
    others = angles.scatter(1, best.unsqueeze(1), torch.inf)
    near = torch.stack([(others - turn[:, r]).clamp(min=0).amin(1) for r in range(most + 1)], 1)
    away = own.clamp(max=torch.pi)
    found = torch.full((len(angles),), most + 1, device=angles.device)
    for r in range(most, 0, -1):
        # B is turned by r - s vectors and A by s.
        pairs = (
            near[:, r : r + 1] <= away[:, r : r + 1] if shared else near[:, : r + 1].flip(1) <= away[:, : r + 1] + 1e-12
        )
        wins = pairs.any(1)
        found = torch.where(wins, r, found)
    return found


def _by_blocks(rule: Callable[[Tensor, Tensor], Tensor], columns: Tensor, weights: Tensor) -> Tensor:
    step = max(1, _NUMBERS // max(1, columns.shape[1]) ** 2)
    starts = range(0, max(1, len(columns)), step)
    return torch.cat([rule(columns[a : a + step], weights[a : a + step].double()) for a in starts])


def _removals(columns: Tensor, weights: Tensor, rank: Tensor, k: int, most: int, counted: bool) -> Tensor:
    """Return the least numbers, found by doubling and then halving.

    What r removals change, r + 1 change too: one more item in the window asks for at most one more removal.
    """
    winner = winners(columns[:, :k], weights[:, :k], rank)
    low = torch.zeros(len(columns), dtype=torch.int64, device=columns.device)
    high = torch.full_like(low, most + 1)
    while bool((high - low > 1).any()):
        middle = torch.where(high > most, (2 * low).clamp(min=1, max=most), (low + high) // 2)
        middle = middle.masked_fill(high - low <= 1, 0)
        for r in middle.unique().tolist():
            if r:
                rows = (middle == r).nonzero().squeeze(1)
                changed = _changed_by(r, columns[rows], weights[rows], winner[rows], rank, k, counted)
                high[rows[changed]] = r
                low[rows[~changed]] = r
    return high


def _changed_by(
    r: int, columns: Tensor, weights: Tensor, winner: Tensor, rank: Tensor, k: int, counted: bool
) -> Tensor:
    """Return for which queries r removals change the winner, bool [q]."""
    length = min(columns.shape[1], k + r)
    near = columns[:, :length]
    votes = _from_each_on(near, weights[:, :length])
    cost = _cost(near, votes, near, _of_class(near, votes), rank, counted)
    cost = cost.masked_fill(near == winner.unsqueeze(1), length + 1)
    # With every item gone nothing is answered.
    return (cost.amin(1) <= r) | (length <= r)


def _relabellings(columns: Tensor, weights: Tensor, rank: Tensor, most: int) -> Tensor:
    n, size = len(columns), columns.shape[1]
    votes = _from_each_on(columns, weights)
    winner = winners(columns, weights, rank)
    rivals, held = _rivals(columns, votes, rank, winner)
    found = torch.full((n,), most + 1, device=columns.device)
    for r in range(min(most, size), 0, -1):
        cost = _cost(columns, votes, rivals, held + r, rank, True)
        wins = ((cost <= r) & (size - held >= r) & (rivals >= 0)).any(1)
        found = torch.where(wins, r, found)
    return found


def _insertions(columns: Tensor, weights: Tensor, rank: Tensor, k: int, most: int, counted: bool) -> Tensor:
    n, size = columns.shape
    winner = winners(columns, weights, rank)
    found = torch.full((n,), most + 1, device=columns.device)
    for r in range(min(most, k), 0, -1):
        stay = min(size, k - r)
        near = columns[:, :stay]
        votes = _from_each_on(near, weights[:, :stay])
        rivals, held = _rivals(near, votes, rank, winner)
        beaten = _cost(near, votes, rivals, held + r, rank, counted) == 0
        found = torch.where((beaten & (rivals >= 0)).any(1), r, found)
    return found


def winners(columns: Tensor, weights: Tensor, rank: Tensor) -> Tensor:
    """Return the class with the most votes, the lowest rank among equals, int64 [q]."""
    held = torch.zeros(len(columns), len(rank), dtype=torch.float64, device=columns.device)
    held.scatter_add_(1, columns, weights.double())
    top = held >= held.amax(1, keepdim=True) * (1 - _ROUNDING)
    return rank.masked_fill(~top, len(rank)).argmin(1)


def _from_each_on(columns: Tensor, weights: Tensor) -> Tensor:
    """Return for each item the votes of its class from it on, in the order of similarity, [q, w]."""
    same = columns.unsqueeze(2) == columns.unsqueeze(1)
    return (same.triu().double() @ weights.double().unsqueeze(2)).squeeze(2)


def _of_class(columns: Tensor, votes: Tensor) -> Tensor:
    """Return all votes of each item's class, [q, w]."""
    if not columns.shape[1]:
        return votes
    same = columns.unsqueeze(2) == columns.unsqueeze(1)
    return (same.double() * votes.unsqueeze(1)).amax(2)


def _cost(columns: Tensor, votes: Tensor, rivals: Tensor, held: Tensor, rank: Tensor, counted: bool) -> Tensor:
    """Return how many items must go before nobody beats a rival, [q, b]: those whose class has more from them on.

    Parameters
    ----------
    columns, votes : Tensor [q, w]
        Classes of items, and the votes of the class from each item on.
    rivals, held : Tensor [q, b]
        Classes, and their votes.
    rank : int64 Tensor [c]
    """
    more = votes.unsqueeze(1) - held.unsqueeze(2)
    near = _ROUNDING * held.unsqueeze(2).clamp(min=_TINY)
    stronger = more > near
    if counted:
        wins = rank[columns].unsqueeze(1) < rank[rivals.clamp(min=0)].unsqueeze(2)
        stronger |= (more.abs() <= near) & wins
    return (stronger & (columns.unsqueeze(1) != rivals.unsqueeze(2))).sum(2)


def _rivals(columns: Tensor, votes: Tensor, rank: Tensor, winner: Tensor) -> tuple[Tensor, Tensor]:
    """Return the classes that may win, [q, w + 1], and their votes; -1 for the winner.

    Those of the items, and of all other classes the one of lowest rank, which is as good as any of them.
    """
    present = torch.zeros(len(columns), len(rank), dtype=torch.bool, device=columns.device)
    present.scatter_(1, columns, True).scatter_(1, winner.unsqueeze(1), True)
    absent = rank.masked_fill(present, len(rank)).argmin(1).masked_fill(present.all(1), -1)
    rivals = torch.cat([columns, absent.unsqueeze(1)], 1)
    held = torch.cat([_of_class(columns, votes), votes.new_zeros(len(columns), 1)], 1)
    return rivals.masked_fill(rivals == winner.unsqueeze(1), -1), held
