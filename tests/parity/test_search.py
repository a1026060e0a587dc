"""Exact search against float64 brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.functional.classwise import normalise
from bench.search import Exact, Index, Neighbours, engine, engine_in_force, top_k
from bench.search.query_log import listening
from bench.utils.random import Stream


def brute_force(queries: torch.Tensor, keys: torch.Tensor, k: int) -> np.ndarray:
    """Sort all float64 cosines of the float32 unit vectors; a stable sort gives ties to the lowest position."""
    sims = normalise(queries).double().numpy() @ normalise(keys).double().numpy().T
    # Rounded to 1e-12, so that equal vectors tie although a matrix product adds them in different orders.
    return np.argsort(-np.round(sims, 12), axis=1, kind="stable")[:, :k]


def draw(n: int, d: int, purpose: str) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, d))).float()


@pytest.mark.parametrize(("q", "m", "d", "k"), [(7, 50, 8, 5), (40, 3000, 64, 32), (3, 10, 16, 10), (5, 4, 16, 9)])
def test_equals_brute_force(q: int, m: int, d: int, k: int) -> None:
    queries, keys = draw(q, d, "queries"), draw(m, d, "keys")
    found = top_k(queries, keys, k)
    assert found.positions.shape == (q, min(k, m))
    assert (found.positions.numpy() == brute_force(queries, keys, k)).all()
    assert (found.similarities.diff(dim=1) <= 0).all()


def test_ties_go_to_the_lowest_position() -> None:
    keys = draw(6, 16, "keys").repeat(50, 1)
    found = top_k(draw(20, 16, "queries"), keys, 60)
    assert (found.positions.numpy() == brute_force(draw(20, 16, "queries"), keys, 60)).all()


def test_near_ties_that_float32_cannot_separate_are_searched_again() -> None:
    base = draw(1, 64, "base")
    keys = base + 1e-7 * draw(500, 64, "jitter")
    found = top_k(base, keys, 5)
    sims = (normalise(base).double().unsqueeze(1) * normalise(keys).double()).sum(-1)
    expected = sims.sort(dim=1, descending=True, stable=True).indices[:, :5]
    assert torch.equal(found.positions, expected)


def test_half_precision_keys_are_searched_as_stored() -> None:
    keys, queries = draw(300, 32, "keys").half(), draw(9, 32, "queries")
    assert (top_k(queries, keys, 7).positions.numpy() == brute_force(queries, keys.float(), 7)).all()


def test_an_empty_memory_gives_no_neighbours() -> None:
    assert top_k(draw(3, 8, "queries"), torch.zeros(0, 8), 5).positions.shape == (3, 0)


class Counting:
    """An exact engine that counts its searches."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def search(self, queries: torch.Tensor, keys: torch.Tensor, k: int) -> Neighbours:
        self.calls += 1
        return top_k(queries, keys, k)


def test_one_retrieval_serves_every_asker_until_the_queries_change() -> None:
    index, queries = Index(draw(100, 8, "keys")), draw(4, 8, "queries")
    with engine(Counting()) as counting:
        wide, narrow = index.search(queries, 20), index.search(queries, 5)
        assert counting.calls == 1
        assert torch.equal(narrow.positions, wide.positions[:, :5])
        queries.neg_()
        assert torch.equal(index.search(queries, 5).positions, top_k(queries, index.keys, 5).positions)
        assert counting.calls == 2


def test_whoever_listens_hears_what_answered_each_question() -> None:
    index, queries = Index(draw(100, 8, "keys")), draw(4, 8, "queries")
    with listening() as asked:
        index.search(queries, 5)
        index.search(queries, 3)
        with engine(Counting()):
            index.search(queries, 5)
    assert [(a.k, a.by) for a in asked] == [(5, ("exact-fp32",)), (3, ("exact-fp32",)), (5, ("counting",))]
    assert all(a.queries is queries and a.keys is index.keys for a in asked)


def test_an_engine_answers_for_itself_only() -> None:
    index, queries = Index(draw(100, 8, "keys")), draw(4, 8, "queries")
    assert isinstance(engine_in_force(), Exact)
    index.search(queries, 5)
    with engine(Counting()) as counting:
        index.search(queries, 5)
        assert counting.calls == 1
        assert engine_in_force() is counting
    assert isinstance(engine_in_force(), Exact)
