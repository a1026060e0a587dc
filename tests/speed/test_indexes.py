"""Approximate engines beside exact search and faiss's own exact index, in one run: read ratios, not seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from bench.functional.classwise import normalise
from bench.search import Engine
from bench.search.approximate.by_name import named_engine
from bench.search.approximate.recall import recall_at
from bench.utils.random import Stream

Benchmark = Callable[..., Any]

M, D, Q, K = 20_000, 128, 200, 32
FLOOR = {"exact": 1.0, "sq8": 0.99, "ivfpq": 0.6, "hnsw": 0.85}
"""Recall at 32 below which a faster answer is worth nothing."""


@cache
def clustered(n: int, purpose: str) -> torch.Tensor:
    """Return points of 200 classes that differ within a class in 24 directions, unit norm."""
    rng = Stream(0).child("speed", "shared").numpy()
    centres, basis = rng.standard_normal((200, D)), rng.standard_normal((24, D))
    draw = Stream(0).child("speed", purpose).numpy()
    x = centres[draw.integers(200, size=n)] + 0.3 * draw.standard_normal((n, 24)) @ basis
    return normalise(torch.from_numpy(x.astype(np.float32)))


@cache
def ready(name: str) -> Engine:
    """Return an engine that has its index of the keys."""
    made = named_engine(name if name != "hnsw" else "hnsw:m=16:build_ef=40")
    made.search(clustered(1, "warm"), clustered(M, "keys"), K)
    return made


@pytest.mark.benchmark(group=f"approximate search {M} x {D}, {Q} queries, k = {K}")
@pytest.mark.parametrize("engine", ["exact", "sq8", "ivfpq", "hnsw", "faiss_flat"])
def test_approximate_search(benchmark: Benchmark, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = clustered(M, "keys"), clustered(Q, "queries")
    if engine == "faiss_flat":
        index = faiss.IndexFlatIP(D)
        index.add(keys.numpy())
        benchmark(lambda: index.search(queries.numpy(), K))
        return
    # Kept in memory: the time is that of a search, not of a disk.
    monkeypatch.setattr("bench.search.approximate.faiss_store.WORTH_KEEPING", M + 1)
    chosen = ready(engine)
    benchmark(lambda: chosen.search(queries, keys, K))
    recall = recall_at(chosen, queries, keys, K)
    assert recall is not None
    assert recall >= FLOOR[engine]
