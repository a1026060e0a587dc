"""Values of items against their definitions: all orders of small memories, and means that are made again."""

from __future__ import annotations

from itertools import combinations
from math import comb, nan

import numpy as np
import pytest
import torch

from bench.functional.classwise import normalise
from bench.functional.item_values import left_out_margins, vote_shapley
from bench.utils.random import Stream

N, QUERIES = 8, 5


def problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines [q, n] and gains [q, n] of some queries and items."""
    draw = Stream(seed).child("values").numpy()
    return draw.uniform(-1, 1, (QUERIES, N)), draw.choice([-1.0, 0.0, 0.5, 1.0], (QUERIES, N))


def utility(cosines: np.ndarray, gains: np.ndarray, members: tuple[int, ...], k: int) -> float:
    nearest = sorted(members, key=lambda i: -cosines[i])[:k]
    return float(sum(gains[i] for i in nearest) / k)


@pytest.mark.parametrize("k", [1, 3, 8, 20])
@pytest.mark.parametrize("seed", range(2))
def test_shapley_is_the_mean_over_all_subsets(seed: int, k: int) -> None:
    cosines, gains = problem(seed)
    order = np.argsort(-cosines, axis=1)
    sorted_gains = torch.tensor(np.take_along_axis(gains, order, 1))
    found = vote_shapley(torch.tensor(order), sorted_gains, k, N).numpy()
    expected = np.zeros(N)
    for at in range(QUERIES):
        for item in range(N):
            rest = [i for i in range(N) if i != item]
            for size in range(N):
                for members in combinations(rest, size):
                    added = utility(cosines[at], gains[at], (*members, item), k)
                    expected[item] += (added - utility(cosines[at], gains[at], members, k)) / (N * comb(N - 1, size))
    np.testing.assert_allclose(found, expected / QUERIES, atol=1e-12)
    whole = np.mean([utility(c, g, tuple(range(N)), k) for c, g in zip(cosines, gains, strict=True)])
    assert found.sum() == pytest.approx(whole, abs=1e-12)


def test_a_cut_errs_by_no_more_than_the_largest_gain_over_its_length() -> None:
    draw = Stream(3).child("cut").numpy()
    cosines, gains = torch.tensor(draw.uniform(-1, 1, (20, 300))), torch.tensor(draw.choice([-1.0, 1.0], (20, 300)))
    order = cosines.argsort(dim=1, descending=True)
    sorted_gains = gains.gather(1, order)
    whole = vote_shapley(order, sorted_gains, 5, 300)
    for length in (20, 100):
        cut = vote_shapley(order[:, :length], sorted_gains[:, :length], 5, 300)
        assert (cut - whole).abs().max() <= 1 / length


def test_a_margin_is_that_of_means_made_again() -> None:
    draw = Stream(4).child("margins").numpy()
    x = normalise(torch.tensor(draw.standard_normal((12, 5))))
    columns = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3])
    found = left_out_margins(x, columns, 5)
    for item in range(12):
        stays = torch.arange(12) != item
        cosines = []
        for c in range(5):
            total = x[stays & (columns == c)].double().sum(0)
            cosines.append(float(total @ x[item].double() / total.norm()) if total.norm() > 0 else nan)
        own = cosines.pop(int(columns[item]))
        expected = own - np.nanmax(cosines)
        assert float(found[item]) == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert found.isnan().tolist() == [False] * 11 + [True]
    assert left_out_margins(x, torch.zeros(12, dtype=torch.int64), 1).isnan().all()


def test_nothing_is_worth_nothing() -> None:
    none = torch.zeros(0, 4, dtype=torch.int64)
    assert vote_shapley(none, torch.zeros(0, 4), 3, 4).tolist() == [0, 0, 0, 0]
    assert left_out_margins(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 2).shape == (0,)
