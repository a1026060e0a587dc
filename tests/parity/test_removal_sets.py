"""The fewest items whose removal changes a vote, against all subsets of small memories."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from bench.functional.certificates import changed_by_one, removals_of_votes
from bench.functional.classwise import class_counts, class_sums, normalise
from bench.functional.removal_sets import fewest_removals
from bench.utils.random import Stream

C, N, K, MOST = 4, 9, 4, 5


def winner(columns: Tensor, votes: Tensor, rank: Tensor, gone: tuple[int, ...]) -> int:
    """Return who wins a vote of the k nearest of what is left."""
    stay = [place for place in range(len(columns)) if place not in gone][:K]
    sums = [float(votes[[p for p in stay if int(columns[p]) == c]].sum()) for c in range(C)]
    best = max(sums)
    return min((c for c in range(C) if sums[c] > best - 1e-9), key=lambda c: int(rank[c]))


@pytest.mark.parametrize("counted", [True, False])
def test_sets_change_the_answer_and_no_smaller_ones_do(counted: bool) -> None:
    several = 0
    for trial in range(60):
        draw = Stream(trial).child("sets", int(counted)).torch()
        columns = torch.randint(0, C, (N,), generator=draw)
        votes = torch.rand(N, generator=draw, dtype=torch.float64).sort(descending=True).values
        votes = torch.ones_like(votes) if counted else votes
        rank = torch.randperm(C, generator=draw)
        least = int(
            removals_of_votes(columns[None, : K + MOST], votes[None, : K + MOST], rank, K, MOST, counted=counted)[0]
        )
        if least > MOST or len(columns.unique()) < 2:
            continue
        start = winner(columns, votes, rank, ())
        sets = fewest_removals(columns, votes, rank, K, least, counted=counted)
        assert sets
        changing = {one for one in combinations(range(N), least) if winner(columns, votes, rank, one) != start}
        assert set(sets) <= changing
        assert not any(
            winner(columns, votes, rank, one) != start for r in range(1, least) for one in combinations(range(N), r)
        )
        if least == 1:
            assert set(sets) == changing
        several += least > 1
    assert several > 10


def test_single_items_that_change_the_nearest_mean() -> None:
    draw = Stream(2).torch()
    x, columns = normalise(torch.randn(14, 5, generator=draw)), torch.arange(14) % 3
    queries = normalise(torch.randn(20, 5, generator=draw)).double()
    changed = changed_by_one(class_sums(x, columns, 3, unit=True), class_counts(columns, 3), x, columns, queries)
    assert changed.any()

    def nearest(stay: Tensor) -> Tensor:
        sums = class_sums(x[stay], columns[stay], 3, unit=True)
        return (queries @ torch.nn.functional.normalize(sums, dim=1).T).argmax(1)

    whole = nearest(torch.ones(14, dtype=torch.bool))
    for item in range(14):
        left = nearest(torch.arange(14) != item)
        assert (changed[:, item] == (left != whole)).all()
