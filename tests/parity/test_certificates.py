"""Certificates against enumeration: all removals and relabellings of small memories, and insertions by chance."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch

from bench.functional.certificates import (
    insertions_into_means,
    insertions_into_votes,
    relabellings_of_votes,
    removals_from_means,
    removals_of_votes,
)
from bench.functional.classwise import normalise
from bench.utils.random import Stream

ITEMS, CLASSES, DIMENSION, QUERIES, MOST = 9, 3, 4, 24, 3


class Problem:
    """A small memory with its queries."""

    def __init__(self, seed: int, *, wide: float) -> None:
        draw = Stream(seed).child("certificates").numpy()
        centres = draw.standard_normal((CLASSES, DIMENSION))
        self.columns = draw.integers(0, CLASSES, ITEMS)
        self.x = normalise(
            torch.tensor(centres[self.columns] + wide * draw.standard_normal((ITEMS, DIMENSION)))
        ).double()
        self.q = normalise(torch.tensor(draw.standard_normal((QUERIES, DIMENSION)))).double()
        self.rank = torch.tensor(draw.permutation(CLASSES))
        self.draw = draw


def vote(x: torch.Tensor, columns: np.ndarray, q: torch.Tensor, k: int, rank: torch.Tensor, scale: float | None) -> int:
    """Return the class that the k nearest items vote for: the definition."""
    cosines = (x @ q).numpy()
    order = np.lexsort((np.arange(len(x)), -cosines))[:k]
    held = np.zeros(CLASSES)
    for item in order:
        held[columns[item]] += 1.0 if scale is None else np.exp((cosines[item] - 1) / scale)
    return min(range(CLASSES), key=lambda c: (-held[c], int(rank[c])))


def means(x: torch.Tensor, columns: np.ndarray, q: torch.Tensor) -> int:
    """Return the class whose mean is nearest by cosine."""
    scores = np.full(CLASSES, -np.inf)
    for c in range(CLASSES):
        if (columns == c).any():
            total = x[torch.tensor(columns == c)].sum(0)
            scores[c] = float(total @ q / total.norm())
    return int(scores.argmax())


def sorted_votes(p: Problem, k: int, scale: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    cosines, order = (p.q @ p.x.T).sort(dim=1, descending=True, stable=True)
    width = min(ITEMS, k + MOST)
    weights = torch.ones_like(cosines) if scale is None else ((cosines - 1) / scale).exp()
    return torch.tensor(p.columns)[order][:, :width], weights[:, :width]


@pytest.mark.parametrize("scale", [None, 0.1], ids=["counted", "weighted"])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_removal_is_that_of_all_subsets(seed: int, k: int, scale: float | None) -> None:
    p = Problem(seed, wide=0.8)
    found = removals_of_votes(*sorted_votes(p, k, scale), p.rank, k, MOST, counted=scale is None)
    for at, q in enumerate(p.q):
        before = vote(p.x, p.columns, q, k, p.rank, scale)

        def changes(gone: tuple[int, ...], q: torch.Tensor = q, before: int = before) -> bool:
            stays = np.setdiff1d(np.arange(ITEMS), gone)
            return vote(p.x[stays], p.columns[stays], q, k, p.rank, scale) != before

        least = next((r for r in range(1, MOST + 1) if any(map(changes, combinations(range(ITEMS), r)))), MOST + 1)
        assert found[at] == least
    assert len(found.unique()) > 1


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_relabelling_is_that_of_all_subsets(seed: int, k: int) -> None:
    p = Problem(seed, wide=0.8)
    found = relabellings_of_votes(sorted_votes(p, k, None)[0], p.rank, k, 2)
    for at, q in enumerate(p.q):
        before = vote(p.x, p.columns, q, k, p.rank, None)

        def changes(edit: tuple[tuple[int, ...], tuple[int, ...]], q: torch.Tensor = q, before: int = before) -> bool:
            columns = p.columns.copy()
            columns[list(edit[0])] = edit[1]
            return vote(p.x, columns, q, k, p.rank, None) != before

        def edits(r: int) -> object:
            return product(combinations(range(ITEMS), r), product(range(CLASSES), repeat=r))

        assert found[at] == next((r for r in (1, 2) if any(map(changes, edits(r)))), 3)  # type: ignore[call-overload]


@pytest.mark.parametrize("scale", [None, 0.1], ids=["counted", "weighted"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_insertion_is_attained_at_the_query_and_never_beaten(k: int, scale: float | None) -> None:
    p = Problem(5, wide=0.8)
    columns, weights = sorted_votes(p, k, scale)
    found = insertions_into_votes(columns, weights, p.rank, k, MOST, counted=scale is None)
    for at, q in enumerate(p.q):
        before = vote(p.x, p.columns, q, k, p.rank, scale)

        def after(rows: torch.Tensor, label: int, q: torch.Tensor = q) -> int:
            columns = np.concatenate([p.columns, np.full(len(rows), label)])
            return vote(torch.cat([p.x, rows]), columns, q, k, p.rank, scale)

        r = int(found[at])
        if r <= MOST:
            assert any(after(q.repeat(r, 1), label) != before for label in range(CLASSES))
        for fewer in range(1, r):
            for label in range(CLASSES):
                assert after(q.repeat(fewer, 1), label) == before
                near = normalise(q + 0.3 * torch.tensor(p.draw.standard_normal((fewer, DIMENSION)))).double()
                assert after(near, label) == before


def test_insertion_into_means_is_attained_and_never_beaten() -> None:
    p = Problem(7, wide=0.6)
    columns = torch.tensor(p.columns)
    sums = torch.zeros(CLASSES, DIMENSION, dtype=torch.float64).index_add_(0, columns, p.x)
    found = insertions_into_means(sums, p.q @ normalise(sums).double().T, MOST)
    assert len(found.unique()) > 1
    for at, q in enumerate(p.q):
        before = means(p.x, p.columns, q)

        def after(rows: torch.Tensor, labels: list[int], q: torch.Tensor = q) -> int:
            return means(torch.cat([p.x, rows]), np.concatenate([p.columns, labels]), q)

        for fewer in range(1, int(found[at])):
            for _ in range(60):
                rows = normalise(torch.tensor(p.draw.standard_normal((fewer, DIMENSION)))).double()
                assert after(rows, p.draw.integers(0, CLASSES, fewer).tolist()) == before
        if found[at] <= MOST:
            assert any(
                after(torch.stack(turned), list(labels)) != before
                for labels in product(range(CLASSES), repeat=int(found[at]))
                for turned in [[best_turn(sums[c], q, labels.count(c), toward=c != before) for c in labels]]
            )


def best_turn(total: torch.Tensor, q: torch.Tensor, count: int, *, toward: bool) -> torch.Tensor:
    """Return the unit vector that turns a sum most if added so many times, from a fine grid in the query's plane."""
    first = total / total.norm()
    second = q - (q @ first) * first
    second = second / second.norm()
    angles = torch.linspace(-torch.pi, torch.pi, 3601, dtype=torch.float64)
    candidates = angles.cos().unsqueeze(1) * first + angles.sin().unsqueeze(1) * second
    new = total + count * candidates
    cosines = (new @ q) / new.norm(dim=1)
    return candidates[cosines.argmax() if toward else cosines.argmin()]


@pytest.mark.parametrize("seed", range(3))
def test_one_removal_from_means_is_exact_and_more_are_bounded(seed: int) -> None:
    p = Problem(seed, wide=0.6)
    columns = torch.tensor(p.columns)
    sums = torch.zeros(CLASSES, DIMENSION, dtype=torch.float64).index_add_(0, columns, p.x)
    counts = torch.bincount(columns, minlength=CLASSES)
    found, exact = removals_from_means(sums, counts, p.x, columns, p.q, MOST)
    for at, q in enumerate(p.q):
        before = means(p.x, p.columns, q)

        def changes(gone: tuple[int, ...], q: torch.Tensor = q, before: int = before) -> bool:
            stays = np.setdiff1d(np.arange(ITEMS), gone)
            return means(p.x[stays], p.columns[stays], q) != before

        least = next((r for r in range(1, MOST + 1) if any(map(changes, combinations(range(ITEMS), r)))), MOST + 1)
        assert found[at] == least if exact[at] else 2 <= found[at] <= least
    assert exact.any()


def test_one_class_cannot_be_changed() -> None:
    columns, weights, rank = torch.zeros(2, 5, dtype=torch.int64), torch.ones(2, 5), torch.zeros(1, dtype=torch.int64)
    assert removals_of_votes(columns, weights, rank, 3, 2, counted=True).tolist() == [3, 3]
    assert relabellings_of_votes(columns, rank, 3, 2).tolist() == [3, 3]
    assert insertions_into_votes(columns, weights, rank, 3, 2, counted=True).tolist() == [3, 3]
    sums = torch.ones(1, 4, dtype=torch.float64)
    assert insertions_into_means(sums, torch.ones(2, 1), 2).tolist() == [3, 3]
