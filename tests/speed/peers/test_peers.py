"""Ours beside the official procedures and the libraries one would use instead, in one table.

``make speed`` prints it, ours and each peer in a group; ``pytest tests/speed/peers -s --benchmark-only`` also prints
how many times as long as ours a peer takes, in processor time, which other work on the machine does not count in.
Packages that are not installed are left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from torch import Tensor

from bench.functional.cache_votes import Grid
from bench.functional.classwise import herd, normalise
from bench.methods.fecam import FeCAM
from bench.methods.gda import _linear, _moments
from bench.methods.ranpac import RanPAC
from bench.perf.comparisons import draw
from bench.search.exact import EXACT
from bench.utils.random import Stream
from tests.speed.peers import naive
from tests.speed.peers.problems import images, task_of
from tests.speed.quiet import QUIET

Sides = dict[str, Callable[[], Tensor]]
"""Ours first; each returns what is compared."""


def tip_adapter() -> Sides:
    x, columns, c = images(16, 100)
    held, target, _ = images(4, 100, "held")
    clip = 100 * held @ normalise(draw(c, 512, "texts")).T
    grid = [0.1 + i * 1.4 for i in range(21)]
    whole = Grid(x, columns, c, held, target, clip)
    return {
        "ours": lambda: torch.tensor(whole.hits(grid, grid)),
        "official": lambda: torch.tensor(naive.tip_adapter_hits(x, columns, held, target, clip, grid, grid)),
    }


def gda() -> Sides:
    x, columns, c = images(16, 100)
    task, queries = task_of(x, columns, c), draw(500, 512, "queries")

    def ours() -> Tensor:
        return _linear(_moments(task, task.labelled, c))(queries.double()).float()

    def official() -> Tensor:
        weights, biases = naive.gda(x, columns, c)
        return queries @ weights.T + biases

    return {"ours": ours, "official": official}


def ranpac(width: int, per_class: int) -> Sides:
    x, columns, c = images(per_class, 50)
    method = RanPAC(width=width)
    task = task_of(x, columns, c)
    projection = torch.randn(512, width, generator=Stream(0).child("projection").torch())

    def official() -> Tensor:
        # The official code takes the last fifth of a shuffled session.
        order = torch.from_numpy(Stream(1).permutation(len(x)))
        h = torch.relu(x @ projection)[order]
        return naive.ranpac(h, columns[order], c, [10.0**p for p in range(-8, 9)])

    return {"ours": lambda: method.build(task, rng=Stream(0)).weights, "official": official}


def fecam() -> Sides:
    x, columns, c = images(100, 10)
    task, queries, method = task_of(x, columns, c), draw(200, 512, "queries"), FeCAM(gamma1=3, gamma2=3)
    return {
        "ours": lambda: method.score(method.build(task, rng=Stream(0)), queries),
        "official": lambda: naive.fecam(x, columns, queries, c),
    }


def herding(n: int, count: int) -> Sides:
    x = normalise(draw(n, 512, "class") + draw(1, 512, "centre"))
    return {"ours": lambda: herd(x, count), "official": lambda: naive.herd(x, count)}


def nearest() -> Sides:
    from sklearn.neighbors import NearestNeighbors

    keys, queries = draw(20_000, 512, "keys"), draw(1000, 512, "queries")
    flat = faiss.IndexFlatIP(512)
    flat.add(keys.numpy())
    fitted = NearestNeighbors(n_neighbors=32, algorithm="brute", metric="cosine").fit(keys.numpy())
    sides: Sides = {
        "ours": lambda: EXACT.search(queries, keys, 32).positions,
        "faiss": lambda: torch.from_numpy(flat.search(queries.numpy(), 32)[1]),
        "scikit-learn": lambda: torch.from_numpy(fitted.kneighbors(queries.numpy(), return_distance=False)),
    }
    if find_spec("usearch"):
        from usearch.index import MetricKind, search

        sides["usearch"] = lambda: torch.from_numpy(
            np.asarray(search(keys.numpy(), queries.numpy(), 32, MetricKind.Cos, exact=True).keys).astype(np.int64)
        )
    return sides


TOLERANCES = {"gda": 2e-3, "fecam": 2e-2, "ranpac": 2e-2}
"""Of the largest number, where the official code computes in float32; positions and counts must be the same."""
AGREE = {"nearest": 0.999, "tip-adapter": 0.9}
"""The share that must be the same, where float32 decides between equals."""
PEERS: dict[str, tuple[Callable[[], Sides], tuple[str, ...]]] = {
    "tip-adapter, 21 x 21 settings": (tip_adapter, ("ours", "official")),
    "gda, 1600 images": (gda, ("ours", "official")),
    "ranpac, M = 1000, 2500 images": (lambda: ranpac(1000, 50), ("ours", "official")),
    "ranpac, M = 2000, 2500 images": (lambda: ranpac(2000, 50), ("ours", "official")),
    "ranpac, M = 10,000, 1000 images": (lambda: ranpac(10_000, 20), ("ours", "official")),
    "fecam, 10 classes of 100": (fecam, ("ours", "official")),
    "herding, 20 of 1300": (lambda: herding(1300, 20), ("ours", "official")),
    "herding, 100 of 500": (lambda: herding(500, 100), ("ours", "official")),
    "nearest, 20,000 keys": (
        nearest,
        ("ours", "faiss", "scikit-learn", *(["usearch"] if find_spec("usearch") else [])),
    ),
}
LARGE = ("ranpac, M = 2000, 2500 images", "ranpac, M = 10,000, 1000 images")


@cache
def sides_of(name: str) -> Sides:
    return PEERS[name][0]()


@pytest.mark.parametrize(
    ("name", "side"), [pytest.param(name, side, id=f"{name}-{side}") for name in PEERS for side in PEERS[name][1][1:]]
)
def test_peer(benchmark: Any, name: str, side: str) -> None:
    if name in LARGE and not QUIET:
        pytest.skip("takes minutes; set BENCH_FULL_SPEED=1")
    benchmark.group = name
    sides = sides_of(name)
    ours, theirs = sides["ours"], sides[side]
    ratios = [] if benchmark.disabled else [taken(theirs) / taken(ours) for _ in range(5)]
    found = benchmark.pedantic(ours, rounds=1)
    agree(name.partition(",")[0], found, theirs())
    if ratios:
        benchmark.extra_info[side] = statistics.median(ratios)
        print(f"\n{name}: {side} takes {statistics.median(ratios):.2f} times as long as ours")


def taken(run: Callable[[], Tensor]) -> float:
    """Return the processor seconds of a call, at least a fifth of a second of them if it is quick."""
    start, calls = time.process_time(), 0
    while not calls or time.process_time() - start < 0.2:
        run()
        calls += 1
    return (time.process_time() - start) / calls


def agree(kind: str, found: Tensor, other: Tensor) -> None:
    """Compare answers: numbers by their largest, positions and counts one by one."""
    assert found.shape == other.shape
    if kind in TOLERANCES:
        assert float((found - other).abs().max()) <= TOLERANCES[kind] * float(other.abs().max())
    else:
        assert float((found == other).double().mean()) >= AGREE.get(kind, 1.0)
