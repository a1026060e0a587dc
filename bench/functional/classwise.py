"""The algebra that methods share, as pure functions; each has a five-line definition in ``tests/parity``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.cost.meter import counted_as
from bench.functional.stored_rows import ManyRows, made_rows

_ROWS = 1 << 10
"""Rows that a processor turns to float64 at a time: 4 MiB at d = 512, which stay in its cache and in memory that the
process already has. To ask the system for 256 MiB takes ten times as long as to add them up."""
_ROWS_ELSEWHERE = 1 << 16
_VOTES = 1 << 15
"""Votes that are counted at a time on a processor. They stay in its cache, and torch leaves so few numbers to one
thread: threads that wait for one another at each of many short steps take longer than one alone."""


def normalise(x: Tensor) -> Tensor:
    """Return float32 rows of unit Euclidean norm, [n, d]; a zero row stays zero."""
    # A norm reads d numbers at 2 FLOPs, one comparison keeps it from zero, and d numbers are divided by it.
    with counted_as(elementwise=3 * x.numel() + math.prod(x.shape[:-1])):
        return F.normalize(x.float(), dim=-1)


def unit_rows(x: Tensor) -> ManyRows:
    """Return stored rows [n, d] at unit norm: at once, or where they are more than 2^25 numbers when asked for."""
    return made_rows(x, normalise)


def class_sums(x: ManyRows, columns: Tensor, n_classes: int, *, unit: bool = False) -> Tensor:
    """Return the sum of the rows of each class, [c, d].

    Parameters
    ----------
    x : ManyRows [n, d]
        May be memory-mapped; read block by block.
    columns : int64 Tensor [n]
        The class of each row, in ``range(n_classes)``.
    unit : bool
        Whether each row is first brought to unit norm.
    """
    sums = torch.zeros(n_classes, x.shape[1], dtype=torch.float64, device=x.device)
    step = _ROWS if x.device.type == "cpu" else _ROWS_ELSEWHERE
    # One addition a number, after what unit norm takes.
    numbers = len(x) * x.shape[1]
    with counted_as(elementwise=4 * numbers + len(x) if unit else numbers):
        for start in range(0, len(x), step):
            rows = x[start : start + step]
            # Summed in double, so that the order of the rows (an edited memory, another batch) shows only below 1e-15.
            sums.index_add_(0, columns[start : start + step], (normalise(rows) if unit else rows).double())
    return sums


def class_counts(columns: Tensor, n_classes: int) -> Tensor:
    """Return how many rows each class has, int64 [c]."""
    return torch.bincount(columns, minlength=n_classes)


def rows_of_classes(columns: Tensor, n_classes: int) -> tuple[Tensor, ...]:
    """Return the positions of the rows of each class, in their order, int64; the device is waited for once.

    A mask a class would wait once a class, for how many rows it takes.

    Parameters
    ----------
    columns : int64 Tensor [n]
        The class of each row, in ``range(n_classes)``.
    """
    rows: tuple[Tensor, ...] = columns.argsort(stable=True).split(class_counts(columns, n_classes).tolist())
    return rows


def class_means(x: ManyRows, columns: Tensor, n_classes: int) -> Tensor:
    """Return the mean of the rows of each class, float32 [c, d]; a class without rows gives zeros."""
    counts = class_counts(columns, n_classes).clamp(min=1).unsqueeze(1)
    return (class_sums(x, columns, n_classes) / counts).float()


def class_votes(columns: Tensor, weights: Tensor, n_classes: int) -> Tensor:
    """Return the summed weight of the neighbours of each class, float32 [q, c].

    Parameters
    ----------
    columns : int64 Tensor [q, k]
        Class of each neighbour.
    weights : Tensor [q, k]
        Weight of each neighbour; ones give a plain count.
    """
    votes = _table(columns, n_classes, torch.float32)
    # One addition a neighbour.
    with counted_as(elementwise=columns.numel()):
        for part, rows in _parts(votes, columns.shape[1]):
            part.zero_().scatter_add_(1, columns[rows], weights[rows].float())
    return votes


def _table(columns: Tensor, n_classes: int, dtype: torch.dtype) -> Tensor:
    """Return room for a number of each query and class, [q, c]."""
    shape = len(columns), n_classes
    if columns.device.type == "cpu":
        # numpy asks the system for large pages and torch does not; 64 MiB page by page take longer than the votes.
        return torch.from_numpy(np.empty(shape, dtype=str(dtype).removeprefix("torch.")))
    return torch.empty(shape, dtype=dtype, device=columns.device)


def _parts(votes: Tensor, k: int) -> Iterator[tuple[Tensor, slice]]:
    """Yield so many rows at a time that they and what k neighbours give them stay in the cache, and where they are."""
    q, n_classes = votes.shape
    step = max(1, _VOTES // (n_classes + k)) if votes.device.type == "cpu" else max(1, q)
    for start in range(0, q, step):
        rows = slice(start, start + step)
        yield votes[rows], rows


def herd(x: Tensor, count: int) -> Tensor:
    """Return the rows chosen by herding, in the order chosen, int64 [..., min(count, n)].

    Rebuffi et al., iCaRL, CVPR 2017, arXiv:1611.07725, algorithm 4: step j takes the row that brings the mean of
    the j chosen rows nearest to the mean of all rows. Ties go to the first row. Each row is taken at most once.

    Parameters
    ----------
    x : Tensor [..., n, d]
        Classes of n rows each are herded side by side.
    """
    n, d = x.shape[-2:]
    steps = min(count, n)
    if not steps or not x.numel():
        return torch.zeros(*x.shape[:-2], steps, dtype=torch.int64, device=x.device)
    # Products of all pairs are made once where a product a step would be as many.
    herded = _herded_by_pairs if n <= 2 * steps else _herded
    return herded(x.double().reshape(-1, n, d), steps).view(*x.shape[:-2], steps)


def _herded(x: Tensor, steps: int) -> Tensor:
    """Return the rows that so many steps choose of classes [g, n, d], float64, by a product a step."""
    g, n, d = x.shape
    mean = x.mean(1, keepdim=True)
    squares = (x * x).sum(2)
    total, choice = torch.zeros_like(mean), _Choice(squares)
    with counted_as(products=steps * 2 * x.numel(), elementwise=g * steps * (3 * d + n + 2)):
        for step in range(1, steps + 1):
            # j^2 |mean - (total + x) / j|^2 = |x|^2 - 2 x . (j mean - total) + what is the same for all x.
            towards = (mean * step - total).transpose(1, 2)
            best = choice.least(torch.baddbmm(squares.unsqueeze(2), x, towards, alpha=-2).squeeze(2), step)
            total += x.gather(1, best.unsqueeze(2).expand(g, 1, d))
    return torch.cat(choice.chosen, 1)


def _herded_by_pairs(x: Tensor, steps: int) -> Tensor:
    """Return what :func:`_herded` does, by the products of all pairs of rows of a class, made once."""
    g, n, _ = x.shape
    pairs = x @ x.transpose(1, 2)
    # 2 x . mean of each x, and |x|^2 + 2 x . total, from which a step takes j times the first.
    twice = pairs.mean(2) * 2
    sums, choice = pairs.diagonal(dim1=1, dim2=2).clone(), _Choice(pairs.diagonal(dim1=1, dim2=2))
    with counted_as(elementwise=g * steps * (3 * n + 2)):
        for step in range(1, steps + 1):
            best = choice.least(torch.sub(sums, twice, alpha=step), step)
            sums.add_(pairs.gather(1, best.unsqueeze(2).expand(g, 1, n)).squeeze(1), alpha=2)
    return torch.cat(choice.chosen, 1)


class _Choice:
    """The rows of each class [g, n] that were chosen so far, which ``squares`` of their lengths tell ties by."""

    def __init__(self, squares: Tensor) -> None:
        # Distances that differ by rounding alone are ties.
        self._tie = 1e-13 * squares.amax(1, keepdim=True)
        self._free = torch.ones(squares.shape, dtype=torch.bool, device=squares.device)
        self.chosen: list[Tensor] = []

    def least(self, gaps: Tensor, step: int) -> Tensor:
        """Return the first of the free rows with the least gap, int64 [g, 1], and take it.

        Rows stay where they are computed: to read a number would wait for the device at each step.
        """
        gaps = torch.where(self._free, gaps, torch.inf)
        best = (gaps <= gaps.amin(1, keepdim=True) + self._tie * step).to(torch.uint8).argmax(1, keepdim=True)
        self._free.scatter_(1, best, False)
        self.chosen.append(best)
        return best


def nearest_to_means(x: Tensor, columns: Tensor, n_classes: int, limits: Tensor) -> Tensor:
    """Return which rows are among the nearest to the mean of their class, bool [n]; rows are first given unit norm.

    The rule by which MML shrinks its memory (Kang et al., TMLR 2025, section 4.4). Ties go to the first row.

    Parameters
    ----------
    x : Tensor [n, d]
    columns : int64 Tensor [n]
        The class of each row, in ``range(n_classes)``.
    limits : int64 Tensor [c]
        How many rows of each class are kept at most.
    """
    counts = class_counts(columns, n_classes)
    keep = (counts <= limits)[columns]
    rows = (~keep).nonzero()[:, 0]
    if not len(rows):
        return keep
    at = columns[rows]
    means = class_sums(x[rows], at, n_classes, unit=True) / counts.clamp(min=1).unsqueeze(1)
    step = _ROWS if x.device.type == "cpu" else _ROWS_ELSEWHERE
    distances = torch.cat(
        [(normalise(x[part]).double() - means[columns[part]]).square_().sum(1) for part in rows.split(step)]
    )
    # By class, and within a class by distance; equal ones stay in their order.
    order = distances.argsort(stable=True)
    order = order[at[order].argsort(stable=True)]
    there = torch.where(counts > limits, counts, 0)
    first = there.cumsum(0) - there
    places = torch.arange(len(rows), device=x.device) - first[at[order]]
    keep[rows[order]] = places < limits[at[order]]
    return keep


def neighbour_votes(columns: Tensor, weights: Tensor, n_classes: int) -> Tensor:
    """Return the summed weight of the neighbours of each class, float64 [q, c], with ties by who was there first.

    Neighbours are scanned from the nearest on, and the class that first reaches the largest sum wins, as in the code
    of Geirhos et al. (arXiv:2408.08172, ``PredictionAggregation``): [0, 1, 1, 0] of one vote each gives 1. The
    winner's score is its sum; that of every other class is its sum less up to 1e-12 of the winner's, the less the
    sooner it had reached it, so a class without neighbours scores below all that have one. Sums are added in the
    order of the scan, since what are equal shares on paper may differ by rounding, which then decides as there.

    Parameters
    ----------
    columns : int64 Tensor [q, k]
        Class of each neighbour, nearest first.
    weights : Tensor [q, k]
        Weight of each neighbour's vote, at least 0; one of 0 reaches nothing.
    """
    k = columns.shape[1]
    votes = _table(columns, n_classes, torch.float64)
    # A neighbour: an addition and a comparison of places. A class: two comparisons, a sum, a product, a difference.
    # A query: the product with its largest vote.
    with counted_as(elementwise=2 * columns.numel() + 5 * votes.numel() + len(votes)):
        for part, rows in _parts(votes, k):
            reached = _add_up(part, columns[rows], weights[rows].double())
            best = part.amax(1, keepdim=True)
            winner = torch.where(part == best, reached, k).argmin(1, keepdim=True)
            part.sub_(reached.add_(1).mul_(1e-12 / (k + 1) * best)).scatter_(1, winner, best)
    return votes


def _add_up(votes: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Sum neighbours' weights into ``votes`` [q, c] in their order; return where each class got its last, [q, c].

    A processor adds along a row in the order of the columns. Other devices add in any order, so there neighbours are
    given one by one.
    """
    k = columns.shape[1]
    votes.zero_()
    reached = torch.full_like(votes, -1)
    if votes.device.type == "cpu":
        votes.scatter_add_(1, columns, weights)
        places = torch.arange(k, dtype=torch.float64)
        reached.scatter_reduce_(1, columns, torch.where(weights > 0, places, -1), "amax")
    else:
        for place, (column, weight) in enumerate(zip(columns.split(1, 1), weights.split(1, 1), strict=True)):
            votes.scatter_add_(1, column, weight)
            reached.scatter_(1, column, torch.where(weight > 0, float(place), reached.gather(1, column)))
    return torch.where(reached < 0, float(k), reached)


def drop_self(positions: Tensor, own: Tensor) -> Tensor:
    """Return each query's neighbours but the query itself, in their order, int64 [q, max(1, k - 1)].

    Where a query is not among its neighbours (it is no item, or more duplicates than that precede it) the farthest is
    dropped in its place. An only neighbour stays.

    Parameters
    ----------
    positions : int64 Tensor [q, k]
        Neighbours, nearest first; one more than are wanted.
    own : bool Tensor [q, k]
        Which of them are the query itself.
    """
    # A stable sort moves the query itself to the end and keeps the order of the others.
    order = own.to(torch.int8).sort(dim=1, stable=True).indices
    return positions.gather(1, order)[:, : max(1, positions.shape[1] - 1)]
