"""The speed of exact search: ours, faiss and torch in one group, and the bare product that bounds them.

``BENCH_SPEED_KEYS=50000,200000,700000`` chooses other sizes than the two that a plain run takes, and
``BENCH_SPEED_THREADS=2`` another number of threads than one. ``BENCH_FULL_SPEED=1`` holds what a processor without
8-bit and bfloat16 units takes beside faiss.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import pytest
import torch

from bench.functional.classwise import normalise
from bench.search import Exact, Index, engine, top_k
from bench.search import exact as exact_search
from bench.utils.random import Stream
from tests.speed.quiet import needs_quiet

Benchmark = Callable[..., Any]

D, K, QUERIES = 512, 32, 2000
_BLOCK = 1 << 13
SIZES = [int(m) for m in os.environ.get("BENCH_SPEED_KEYS", "50000,200000").split(",")]


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("BENCH_SPEED_THREADS", before)))
    yield
    torch.set_num_threads(before)


def draw(n: int, purpose: str) -> torch.Tensor:
    generator = Stream(0).child(purpose).numpy()
    return normalise(torch.from_numpy(generator.standard_normal((n, D), dtype="float32")))


def fewer(n: int, request: pytest.FixtureRequest) -> int:
    """Return a tenth of a number where nothing is timed and the tests only see that all engines agree."""
    return n // 10 if request.config.getoption("benchmark_disable") else n


@pytest.fixture(scope="module")
def queries(request: pytest.FixtureRequest) -> torch.Tensor:
    return draw(fewer(QUERIES, request), "queries")


@pytest.fixture(scope="module", params=SIZES)
def keys(request: pytest.FixtureRequest) -> torch.Tensor:
    return draw(fewer(request.param, request), "keys")


def by_faiss(queries: torch.Tensor, keys: torch.Tensor) -> Callable[[], torch.Tensor]:
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(D)
    index.add(keys.numpy())
    return lambda: torch.from_numpy(index.search(queries.numpy(), K)[1])


def by_sorting(queries: torch.Tensor, keys: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: torch.cat([(part @ keys.T).topk(K).indices for part in queries.split(250)])


def by_product(queries: torch.Tensor, keys: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Multiply and forget: what remains when nothing is selected."""
    low, blocks = queries.bfloat16().T, keys.bfloat16().split(_BLOCK)
    space = torch.empty(_BLOCK, len(queries), dtype=torch.bfloat16)

    def run() -> torch.Tensor:
        for block in blocks:
            torch.mm(block, low, out=space[: len(block)])
        return space

    return run


def by_whole_product(queries: torch.Tensor, keys: torch.Tensor) -> Callable[[], torch.Tensor]:
    low, blocks = (queries * 127).to(torch.int8), (keys * 127).to(torch.int8).split(_BLOCK)
    space = torch.empty(len(queries) * _BLOCK, dtype=torch.int32)

    def run() -> torch.Tensor:
        for block in blocks:
            torch._int_mm(low, block.T, out=space[: len(queries) * len(block)].view(-1, len(block)))
        return space

    return run


def by_engine(product: Any) -> Callable[[torch.Tensor, torch.Tensor], Callable[[], torch.Tensor]]:
    def prepared(queries: torch.Tensor, keys: torch.Tensor) -> Callable[[], torch.Tensor]:
        index, chosen = Index(keys), Exact(product)

        def run() -> torch.Tensor:
            with engine(chosen):
                # A copy, since an index answers the same queries from what it remembers.
                return index.search(queries.clone(), K).positions

        return run

    return prepared


ENGINES = {
    "exact": by_engine("auto"),
    "exact-bf16": by_engine("bf16"),
    "exact-int7": by_engine("int7"),
    "exact-prefix": by_engine("prefix"),
    "exact-fp32": by_engine("fp32"),
    "faiss_flat": by_faiss,
    "torch_topk": by_sorting,
    "int8_product": by_whole_product,
    "bf16_product": by_product,
}


@pytest.mark.parametrize("name", ENGINES)
def test_search(benchmark: Benchmark, queries: torch.Tensor, keys: torch.Tensor, name: str) -> None:
    benchmark.group = f"search {len(keys)} x {D}, {len(queries)} queries, k = {K}"
    found = benchmark.pedantic(ENGINES[name](queries, keys), rounds=3, iterations=1, warmup_rounds=1)
    if not name.endswith("_product"):
        right = top_k(queries[:50], keys, K).positions
        assert torch.equal(found[:50].sort(1).values, right.sort(1).values)


def along_few_axes(n: int, purpose: str) -> torch.Tensor:
    """Return vectors whose length falls along their axes as that of CLIP's features does."""
    return normalise(draw(n, purpose) * torch.arange(1, D + 1) ** -0.75)


@needs_quiet
@pytest.mark.parametrize(("kind", "least"), [("along few axes", 0.98), ("random", 0.98)])
def test_without_units_beside_faiss(monkeypatch: pytest.MonkeyPatch, kind: str, least: float) -> None:
    monkeypatch.setattr(exact_search, "has_int8_units", lambda: False)
    monkeypatch.setattr(exact_search, "has_bf16_units", lambda: False)
    make = draw if kind == "random" else along_few_axes
    queries, keys = make(QUERIES, "queries"), make(max(SIZES), "keys")
    ours, theirs = by_engine("auto")(queries, keys), by_faiss(queries, keys)
    ours()  # what is made of the keys once

    def seconds(search: Callable[[], torch.Tensor]) -> float:
        start = time.process_time()
        search()
        return time.process_time() - start

    ratios = [seconds(theirs) / seconds(ours) for _ in range(5)]
    print(f"\n{kind}: {statistics.median(ratios):.2f} of faiss's speed, {min(ratios):.2f} to {max(ratios):.2f}")
    assert statistics.median(ratios) >= least
