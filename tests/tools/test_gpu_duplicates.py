"""The duplicates section of ``make gpu`` on the CPU: it passes the exact search, and finds planted disagreements."""

from __future__ import annotations

import torch

from bench.search import Neighbours, top_k
from tests.tools.test_gpu_sections import collect, number, soon
from tools.gpu import duplicates

SCALE = duplicates.Scale(keys=301, queries=12, dimension=32, k=8)


def test_the_search_gives_the_definition_with_duplicates_anywhere() -> None:
    found = collect(duplicates.rows("cpu", soon(), scale=SCALE))
    assert len(found) == 5
    assert {name: row.cells["wrong"] for name, row in found.items()} == dict.fromkeys(found, 0)
    assert {row.cells["places"] for row in found.values()} == {12 * 8}


def test_duplicates_really_tie_across_blocks() -> None:
    queries, keys = duplicates.kinds(SCALE)["the nearest key in four places"]()
    found = top_k(queries, keys, 4)
    assert int((found.similarities[:, 0] == found.similarities[:, 2]).sum()) > 6
    assert (found.positions[:, 2] - found.positions[:, 0] > 100).any()


def test_copies_in_another_order_and_keys_that_are_less_similar_are_found() -> None:
    def last_copy_first(queries: torch.Tensor, keys: torch.Tensor, k: int) -> Neighbours:
        found = top_k(queries, keys.flip(0), k)
        return Neighbours(len(keys) - 1 - found.positions, found.similarities)

    def swapped(queries: torch.Tensor, keys: torch.Tensor, k: int) -> Neighbours:
        found = top_k(queries, keys, k)
        order = [1, 0, *range(2, k)]
        return Neighbours(found.positions[:, order], found.similarities[:, order])

    copies = collect(duplicates.rows("cpu", soon(), scale=SCALE, search=last_copy_first))
    assert copies["no duplicates"].cells["wrong"] == 0
    for kind in ("the nearest key in four places", "every key a hundred times", "duplicates of other lengths"):
        assert number(copies[kind], "wrong") > 0
        assert copies[kind].problem == f"{kind}: {copies[kind].cells['wrong']} of 96 places are not the definition's"
    assert collect(duplicates.rows("cpu", soon(), scale=SCALE, search=swapped))["no duplicates"].cells["wrong"] == 24


def test_keys_that_only_rounding_tells_apart_may_change_places() -> None:
    queries = torch.tensor([[1.0, 0.0]])
    keys = torch.tensor([[1.0, 1e-4], [1.0, 1.1e-4], [0.0, 1.0]])
    assert duplicates.disagreement(queries, keys, torch.tensor([[1, 0, 2]])) == duplicates.Disagreement(0, 2)
    assert duplicates.disagreement(queries, keys, torch.tensor([[0, 2, 1]])) == duplicates.Disagreement(2, 0)
