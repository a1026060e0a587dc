"""A few queries are searched through kept norms; the answers are those of the definition."""

from __future__ import annotations

import pytest
import torch

from bench.functional.classwise import normalise
from bench.search import Exact, Index, engine, few
from bench.search.reference import search_float64
from bench.utils.random import Stream


def draw(n: int, d: int, purpose: str) -> torch.Tensor:
    return torch.from_numpy(Stream(0).child(purpose).numpy().standard_normal((n, d), dtype="float32"))


def answers(keys: torch.Tensor, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    with engine(Exact()):
        found = Index(keys).search(queries, k)
    return found.positions, found.similarities


@pytest.mark.parametrize("n", [1, 3, few.MOST, few.MOST + 1])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_it_finds_what_the_definition_finds(n: int, scale: float) -> None:
    keys, queries = draw(5000, 96, "keys") * scale, draw(n, 96, "queries")
    # Duplicates at other scales, which tie but for rounding, beside exact ones, which tie.
    keys[4000:4500] = keys[:500]
    keys[4500:] = 3 * keys[500:1000]
    queries[0] = keys[17]
    places, similarities = answers(keys, queries, 7)
    expected, values = search_float64(normalise(queries), keys, 7)
    assert torch.equal(places, expected)
    assert torch.equal(similarities, values.float())


def test_keys_so_close_that_float32_cannot_tell_them_are_told_apart() -> None:
    base = normalise(draw(1, 64, "base"))
    keys = base + 1e-7 * draw(3000, 64, "around")
    places, _ = answers(keys, base, 5)
    assert torch.equal(places, search_float64(base, keys, 5)[0])


@pytest.mark.parametrize("odd", ["zero", "nan", "huge", "half", "strided"])
def test_keys_that_it_is_not_meant_for_are_left_to_the_others(odd: str) -> None:
    keys, queries = draw(400, 32, "keys"), draw(2, 32, "queries")
    if odd == "half":
        keys = keys.half()
    elif odd == "strided":
        keys = keys.T.contiguous().T
    else:
        keys[3] = {"zero": 0.0, "nan": torch.nan, "huge": 1e30}[odd]
    assert few.inverse_norms(keys) is None
    assert torch.equal(answers(keys, queries, 5)[0], search_float64(normalise(queries), keys, 5)[0])


def test_norms_go_with_the_keys_and_follow_their_changes() -> None:
    exact, queries = Exact(), draw(1, 32, "queries")
    keys = draw(300, 32, "keys")
    exact.search(queries, keys, 3)
    assert len(exact._norms) == 1
    keys[250] = queries[0] * 100
    assert int(exact.search(queries, keys, 3).positions[0, 0]) == 250
    del keys
    assert len(exact._norms) == 0


def test_a_query_finds_the_same_alone_and_among_many() -> None:
    keys, queries = draw(20_000, 64, "keys"), draw(300, 64, "queries")
    together = answers(keys, queries, 9)[0]
    alone = torch.cat([answers(keys, row, 9)[0] for row in queries[:20].split(1)])
    assert torch.equal(alone, together[:20])
