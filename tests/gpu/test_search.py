"""The exact search on a card gives the definition's answer, with duplicates wherever they lie."""

from __future__ import annotations

import pytest
import torch

from bench.search import Exact, Index, top_k
from tests.gpu.device import DEVICE, on_a_gpu
from tests.parity.test_search_certified import ENGINES, KEYS, draw
from tools.gpu.duplicates import Scale, disagreement, kinds

pytestmark = on_a_gpu

SCALE = Scale(keys=4099, queries=33, dimension=96, k=17)


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.product)
def test_every_kind_of_keys(kind: str, engine: Exact) -> None:
    queries, keys = draw(20, 32, "queries"), KEYS[kind](500, 32, 0)
    found = engine.search(queries.to(DEVICE), keys.to(DEVICE), 9)
    assert found.positions.device.type == found.similarities.device.type == torch.device(DEVICE).type
    assert disagreement(queries, keys, found.positions.cpu()).wrong == 0


@pytest.mark.parametrize("kind", list(kinds(SCALE)))
def test_duplicates_far_apart(kind: str) -> None:
    queries, keys = kinds(SCALE)[kind]()
    found = top_k(queries.to(DEVICE), keys.to(DEVICE), SCALE.k)
    assert disagreement(queries, keys, found.positions.cpu()).wrong == 0


@pytest.mark.parametrize("k", [1, 4099, 10_000])
def test_one_neighbour_and_all(k: int) -> None:
    queries, keys = kinds(SCALE)["the nearest key in four places"]()
    found = top_k(queries[:3].to(DEVICE), keys.to(DEVICE), k)
    assert found.positions.shape == (3, min(k, len(keys)))
    assert disagreement(queries[:3], keys, found.positions.cpu()).wrong == 0


def test_keys_that_stay_on_the_cpu_are_searched_from_a_card() -> None:
    queries, keys = kinds(SCALE)["no duplicates"]()
    found = top_k(queries.to(DEVICE), keys, SCALE.k)
    assert disagreement(queries, keys, found.positions.cpu()).wrong == 0


def test_an_answer_does_not_depend_on_how_many_ask() -> None:
    queries, keys = (part.to(DEVICE) for part in kinds(SCALE)["every key a hundred times"]())
    whole = top_k(queries, keys, SCALE.k)
    single = torch.cat([top_k(row.unsqueeze(0), keys, SCALE.k).positions for row in queries])
    assert torch.equal(whole.positions, single)


def test_an_index_remembers_what_a_card_was_asked() -> None:
    queries, keys = (part.to(DEVICE) for part in kinds(SCALE)["no duplicates"]())
    index = Index(keys)
    first = index.search(queries, SCALE.k)
    assert torch.equal(index.search(queries, 5).positions, first.positions[:, :5])
    queries.neg_()
    assert not torch.equal(index.search(queries, SCALE.k).positions, first.positions)
