"""Ours beside the official procedures and the libraries one would use instead, in one table.

``make speed`` prints it, and so does ``pytest tests/speed/peers --benchmark-only``: how many times as long as ours a
peer takes, in processor time, which other work on the machine does not count in. Packages that are not installed are
left out (scikit-learn-intelex and usearch, which the project itself does not need).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.core.task import Session
from bench.functional.attention import Block
from bench.functional.cache_votes import Grid
from bench.functional.classwise import herd, neighbour_votes, normalise
from bench.functional.logistic_regression import Linear, LogisticRegression
from bench.methods.fecam import FeCAM
from bench.methods.gda import _linear, _moments
from bench.methods.mml import MML
from bench.methods.ranpac import RanPAC
from bench.perf.comparisons import draw
from bench.search.exact import EXACT
from bench.utils.random import Stream
from tests.speed.peers import naive, table
from tests.speed.peers.problems import images, task_of
from tests.speed.quiet import QUIET

USEARCH, INTELEX = (
    () if find_spec(name) is None else (found,)
    for name, found in (("usearch", "usearch"), ("sklearnex", "scikit-learn-intelex"))
)
SKLEARNS = ("scikit-learn", *INTELEX)
Sides = dict[str, Callable[[], Tensor]]
"""Ours first; each returns what is compared."""


def tip_adapter() -> Sides:
    x, columns, c = images(16, 100)
    held, target, _ = images(4, 100, "held")
    clip = 100 * held @ normalise(draw(c, 512, "texts")).T
    grid = [0.1 + i * 1.4 for i in range(21)]
    whole = Grid(x, columns, torch.arange(len(x)), c, held, target, clip)
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


def votes() -> Sides:
    drawn = torch.from_numpy(Stream(0).child("votes").numpy().integers(1000, size=(2000, 100)))
    weights = (1 / torch.arange(2.0, 102, dtype=torch.float64)).expand(2000, 100)
    return {
        "ours": lambda: neighbour_votes(drawn, weights, 1000).argmax(1),
        "official": lambda: naive.rank_votes(drawn, weights),
    }


def mml() -> Sides:
    """A batch that is met in eight epochs: ours finds its neighbours once, the official code in each."""
    x, columns, c = images(32, 8)
    queries, items = draw(200, 512, "queries"), (draw(16_479, 512, "images"), draw(1451, 512, "texts"))
    method = MML(epochs=8, patience=None, start="random")
    task = task_of(x[:0], columns[:0], c, items)
    asked = Features(x, columns, np.array([f"query {n}" for n in range(len(x))]), task.class_names)
    session = Session(task=task, queries=asked)
    state = method.build(task, rng=Stream(0))
    start = state.weights

    def ours() -> Tensor:
        trained = method.train(session, None, rng=Stream(0))
        return trained.score(trained.build(task, rng=Stream(0)), queries)

    def official() -> Tensor:
        branches = [
            naive.Branch(block_of(block), 10 * normalise(part.searched.x), part.prototypes)
            for block, part in ((start.image, state.image), (start.text, state.text))
            if block is not None
        ]
        rates = (method.lr, method.weight_decay, 1e-6, method.logit_scale)
        return naive.mml_steps(branches, 10 * x, columns, 10 * queries, method.k, method.epochs, rates)

    return {"ours": ours, "official": official}


def block_of(weights: Block) -> naive.ResidualAttention:
    """Return the block of torch's own layers with the same weights."""
    block = naive.ResidualAttention(len(weights.query_bias))
    both = {"weight": "in_proj_weight", "bias": "in_proj_bias"}
    for kind, joined in both.items():
        parts = [getattr(weights, f"{name}_{kind}") for name in ("query", "key", "value")]
        getattr(block.attention, joined).data = torch.cat(parts)
        getattr(block.attention.out_proj, kind).data = getattr(weights, f"out_{kind}").clone()
        for name in ("query", "key", "value", "mlp"):
            getattr(getattr(block, f"{name}_norm"), kind).data = getattr(weights, f"norm_{name}_{kind}").clone()
        for name in ("fc", "proj"):
            getattr(getattr(block, name), kind).data = getattr(weights, f"{name}_{kind}").clone()
    return block


CS = (0.1, 1.0, 10.0, 100.0)


def logistic_regression() -> Sides:
    """Answer with the logarithm of the objective that each C ends at."""
    from sklearn.linear_model import LogisticRegression as Sklearn

    x, columns, c = images(16, 50)

    def objectives(fits: Iterable[Linear]) -> Tensor:
        found = []
        for strength, fit in zip(CS, fits, strict=True):
            loss = F.cross_entropy(x.double() @ fit.weights.double().T + fit.biases, columns, reduction="sum")
            found.append(strength * loss + fit.weights.double().square().sum() / 2)
        return torch.stack(found).log()

    def ours() -> Tensor:
        regression = LogisticRegression(x, columns, c)
        return objectives([regression.fit(strength) for strength in CS])

    def library(kind: Any) -> Tensor:
        fits = [kind(C=s, max_iter=2000, tol=1e-6).fit(x.double().numpy(), columns.numpy()) for s in CS]
        # One library returns what other code still writes to.
        return objectives([Linear(torch.tensor(f.coef_), torch.tensor(f.intercept_)) for f in fits])

    sides: Sides = {"ours": ours, "scikit-learn": lambda: library(Sklearn)}
    if INTELEX:
        quicker = import_module("sklearnex.linear_model").LogisticRegression
        sides["scikit-learn-intelex"] = lambda: library(quicker)
    return sides


def nearest(n: int, asked: int) -> Sides:
    from sklearn.neighbors import NearestNeighbors

    keys, queries = draw(n, 512, "keys"), draw(asked, 512, "queries")
    flat = faiss.IndexFlatIP(512)
    flat.add(keys.numpy())
    fitted = NearestNeighbors(n_neighbors=32, algorithm="brute", metric="cosine").fit(keys.numpy())
    sides: Sides = {
        "ours": lambda: EXACT.search(queries, keys, 32).positions,
        "faiss": lambda: torch.from_numpy(flat.search(queries.numpy(), 32)[1]),
        "scikit-learn": lambda: torch.from_numpy(fitted.kneighbors(queries.numpy(), return_distance=False)),
    }
    if INTELEX:
        intelex = import_module("sklearnex.neighbors")
        quick = intelex.NearestNeighbors(n_neighbors=32, algorithm="brute", metric="cosine").fit(keys.numpy())
        sides["scikit-learn-intelex"] = lambda: torch.from_numpy(
            quick.kneighbors(queries.numpy(), return_distance=False)
        )
    if USEARCH:
        index = import_module("usearch.index")

        def search() -> Tensor:
            found = index.search(keys.numpy(), queries.numpy(), 32, index.MetricKind.Cos, exact=True)
            return torch.from_numpy(np.asarray(found.keys).astype(np.int64))

        sides["usearch"] = search
    return sides


TOLERANCES = {"gda": 2e-3, "fecam": 2e-2, "ranpac": 2e-2, "mml": 1e-3, "logistic regression": 1e-4}
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
    "rank votes, 100 neighbours of 2000": (votes, ("ours", "official")),
    "mml, 8 steps, 16,479 + 1451 items": (mml, ("ours", "official")),
    "logistic regression, four C": (logistic_regression, ("ours", *SKLEARNS)),
    "nearest, 20,000 keys": (lambda: nearest(20_000, 1000), ("ours", "faiss", *SKLEARNS, *USEARCH)),
    "nearest, 50,000 keys": (lambda: nearest(50_000, 2000), ("ours", "faiss", *SKLEARNS, *USEARCH)),
}
LARGE = ("ranpac, M = 2000, 2500 images", "ranpac, M = 10,000, 1000 images", "nearest, 50,000 keys")


@cache
def sides_of(name: str) -> Sides:
    return PEERS[name][0]()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "side"), [pytest.param(name, side, id=f"{name}-{side}") for name in PEERS for side in PEERS[name][1][1:]]
)
def test_peer(benchmark: Any, name: str, side: str) -> None:
    if name in LARGE and not QUIET:
        pytest.skip("takes minutes; set BENCH_FULL_SPEED=1")
    benchmark.group = name
    sides = sides_of(name)
    ours, theirs = sides["ours"], sides[side]
    rounds = 0 if benchmark.disabled else 1 if name in LARGE else 5
    ratios = [taken(theirs) / taken(ours) for _ in range(rounds)]
    found = benchmark.pedantic(ours, rounds=1)
    agree(name.partition(",")[0], found, theirs())
    if ratios:
        benchmark.extra_info[side] = table.RATIOS[name, side] = statistics.median(ratios)


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
