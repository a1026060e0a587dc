"""The check before scoring, against every query compared with every item one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bench.core.registry import SCENARIOS
from bench.core.task import Episode
from bench.data.registry import resolve
from bench.functional.classwise import normalise
from bench.runner.leakage import _connected, near_duplicates, query_clusters
from bench.search import Exact, key_blocks, threshold
from bench.search.threshold import reaches
from bench.utils.random import Stream
from tests import toy


def naive(episode: Episode, threshold: float) -> list[torch.Tensor]:
    items = [] if episode.training is None else [episode.training.queries.x]
    start, flags = list(items), []
    for session in episode.sessions:
        items = list(start) if episode.independent else items
        items += [session.task.memory.images.x, session.task.support.x]
        keys = normalise(torch.cat([x.float() for x in items]))
        flags.append((normalise(session.queries.x.float()) @ keys.T).amax(1) >= threshold)
    return flags


@pytest.mark.parametrize("name", ["incremental", "few-to-many-shot", "lifecycle", "web-zero-shot"])
def test_flags_are_those_of_comparing_all(name: str) -> None:
    dataset = resolve("digits")
    recipe = SCENARIOS.get(name).cls()
    condition = list(recipe.conditions(dataset))[-1]
    episode = recipe.deal(dataset, condition, rng=Stream(0))
    found, expected = near_duplicates(episode, threshold=0.96), naive(episode, 0.96)
    assert 0 < sum(int(f.sum()) for f in found) < sum(len(f) for f in found)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_queries_may_come_go_and_return(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = resolve("digits")
    recipe = SCENARIOS.get("lifecycle").cls()
    sessions = recipe.deal(dataset, list(recipe.conditions(dataset))[-1], rng=Stream(0)).sessions[:4]
    every = sessions[0].queries
    asked = [range(5, 90), range(40), range(60, 120), range(119, -1, -1)]
    episode = Episode(
        sessions=tuple(replace(s, queries=every.take(list(rows))) for s, rows in zip(sessions, asked, strict=True))
    )
    monkeypatch.setattr("bench.runner.leakage._TOGETHER", 32)
    found, expected = near_duplicates(episode, threshold=0.94), naive(episode, 0.94)
    assert 0 < sum(int(f.sum()) for f in found) < sum(len(f) for f in found)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("product", ["int8", "bf16", "fp32"])
def test_a_threshold_at_a_cosine_is_reached_by_it(
    product: Literal["int8", "bf16", "fp32"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold, "EXACT", Exact(product))
    monkeypatch.setattr(key_blocks, "_BLOCK", 32)
    keys = torch.from_numpy(Stream(0).numpy().standard_normal((300, 64), dtype="float32"))
    queries = keys[:100] + 0.1 * keys[100:200]
    nearest = (normalise(queries).double() * normalise(keys[:100]).double()).sum(1)
    for at in range(0, 100, 10):
        cosine = float(nearest[at].float())
        assert reaches(queries, keys, cosine)[at]
        assert not reaches(queries, keys, cosine + 1e-6)[at]


def test_queries_that_are_near_duplicates_of_one_another_share_a_cluster() -> None:
    data = toy.dataset()
    test = data.splits["test"]
    x = test.x.clone()
    x[3], x[30] = x[7], x[7]
    x[20] = x[21]
    data = replace(data, splits={**data.splits, "test": replace(test, x=x)}, card=replace(data.card, near=0.9999))
    found = query_clusters(data, "cpu")
    ids = test.ids.tolist()
    assert found == {
        **{ids[n]: min(ids[3], ids[7], ids[30]) for n in (3, 7, 30)},
        **{ids[n]: min(ids[20], ids[21]) for n in (20, 21)},
    }
    loose = query_clusters(replace(data, card=replace(data.card, near=-1.0)), "cpu")
    assert set(loose.values()) == {min(ids)}
    assert query_clusters(replace(toy.dataset(), card=replace(data.card, near=0.999999)), "cpu") == {}


@pytest.mark.parametrize(("n", "edges"), [(5, 0), (5, 2), (60, 30), (400, 390), (400, 3000)])
def test_clusters_are_the_connected_parts_of_a_graph(n: int, edges: int) -> None:
    first, second = np.random.default_rng(edges).integers(0, n, (2, edges))
    parts = connected_components(coo_matrix((np.ones(edges), (first, second)), shape=(n, n)), directed=False)[1]
    least = np.array([np.flatnonzero(parts == part)[0] for part in parts])
    assert np.array_equal(_connected(first, second, n), least)


def test_a_long_chain_in_any_order_is_one_cluster() -> None:
    chain = np.random.default_rng(0).permutation(5000)
    assert not _connected(chain[:-1], chain[1:], 5000).any()
