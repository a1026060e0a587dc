"""Search and MML against what the card was measured to do at most: matrix products and copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.core.task import Session
from bench.cost.flops import count
from bench.methods.mml import MML
from bench.perf.machine import limits
from bench.perf.timing import in_turn
from bench.search import top_k
from bench.utils.random import Stream
from tools.gpu.draws import Made
from tools.gpu.section import Cell, Deadline, Row

_FLOAT = 4
"""Bytes of a number in fp32."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much work is timed.

    Attributes
    ----------
    side, copied : int or None
        Rows of the matrices that are multiplied and bytes that are copied for the ceilings; None is as many as
        :func:`bench.perf.machine.limits` takes.
    items, queries, classes, dimension, k : int
        Of search and scoring.
    training, batch : int
        Images trained on, and of a step.
    """

    side: int | None = None
    copied: int | None = None
    items: int = 200_000
    queries: int = 8192
    classes: int = 1000
    dimension: int = 512
    k: int = 32
    training: int = 4096
    batch: int = 256


@dataclass(frozen=True)
class Work:
    """Something that was timed.

    Attributes
    ----------
    flops : int
        Of its products.
    moved : int
        Bytes that it cannot do without: what it reads and writes, once.
    seconds : float
    """

    what: str
    flops: float
    moved: float
    seconds: float


def rows(device: str, deadline: Deadline, *, scale: Scale = Scale()) -> Iterator[Row]:
    """Yield the ceilings, then what each work reaches of them."""
    most = limits(device, side=scale.side, copied=scale.copied)
    empty: dict[str, Cell] = {"seconds": None, "GFLOP/s": None, "% of fp32": None, "GB/s": None, "% of copy": None}
    yield Row({"what": "fp32 product", **empty, "GFLOP/s": most["fp32_gflops"], "% of fp32": 100.0})
    yield Row({"what": "bf16 product", **empty, "GFLOP/s": most["bf16_gflops"]})
    yield Row({"what": "copy", **empty, "GB/s": most["copy_gb_per_second"], "% of copy": 100.0})
    made = Made.of(scale.items, scale.classes, scale.dimension, device)
    works: dict[str, Callable[[], Work]] = {
        "search": lambda: search(made, scale),
        "scoring": lambda: scoring(made, scale),
        "training": lambda: training(made, scale),
    }
    for name in deadline.each(list(works)):
        yield name if isinstance(name, Row) else _row(works[name](), most)


def _row(work: Work, most: Mapping[str, Any]) -> Row:
    gflops, gb = work.flops / work.seconds / 1e9, work.moved / work.seconds / 1e9
    cells: dict[str, Cell] = {
        "what": work.what,
        "seconds": work.seconds,
        "GFLOP/s": gflops,
        "% of fp32": 100 * gflops / most["fp32_gflops"],
        "GB/s": gb,
        "% of copy": 100 * gb / most["copy_gb_per_second"],
    }
    # More than the ceiling says that one of the two is not what it is called, such as fp32 products in TensorFloat-32.
    above = [name for name in ("% of fp32", "% of copy") if float(cells[name] or 0) > 120]
    return Row(cells, f"{work.what} is above its ceiling in {' and '.join(above)}" if above else "")


def search(made: Made, scale: Scale) -> Work:
    """Exact search: every key is compared with every query, and is read once."""
    queries = made.session(scale.queries, texts=0.0, purpose="queries").queries.x
    seconds = in_turn({"run": lambda: top_k(queries, made.keys, scale.k)}, made.device)["run"]
    q, m, d = len(queries), len(made.keys), scale.dimension
    answers = q * scale.k * (_FLOAT + 8)
    return Work(f"search, {q:,} queries in {m:,} items", 2 * q * m * d, _FLOAT * d * (q + m) + answers, seconds)


def scoring(made: Made, scale: Scale) -> Work:
    """MML on queries whose neighbours are known: it reads each neighbour of both branches once."""
    session = made.session(scale.queries, texts=0.2, purpose="queries")
    method = MML(k=scale.k, adapt="never")
    state = method.build(session.task, rng=Stream(0))
    queries = session.queries.x.float()

    @torch.no_grad()
    def run() -> torch.Tensor:
        return method.score(state, queries)

    # The memory's index remembers the queries, so that from the second call on nothing is searched.
    run()
    seconds = in_turn({"run": run}, made.device)["run"]
    moved = _FLOAT * (2 * scale.queries * scale.k * scale.dimension + scale.queries * scale.classes)
    return Work(f"MML, scores of {scale.queries:,} queries", count(run).products, moved, seconds)


def training(made: Made, scale: Scale) -> Work:
    """One step of MML's training, as the difference of a long and a short training on the same images.

    Each neighbour is read forwards and backwards; each weight is read in both and by the optimiser, and written with
    its two moments and its gradient.
    """
    session = made.session(scale.training, texts=0.2, purpose="training")
    epochs = {"short": 1, "long": 5}
    steps = -(-scale.training // scale.batch) * (epochs["long"] - epochs["short"])

    def train(session: Session, length: str) -> MML:
        return MML(k=scale.k, batch=scale.batch, epochs=epochs[length]).train(session, None, rng=Stream(0))

    train(session, "short")
    runs = {name: partial(train, session, name) for name in epochs}
    taken = in_turn(runs, made.device)
    done = {name: count(run).products for name, run in runs.items()}
    weights = 24 * scale.dimension**2 + 30 * scale.dimension
    moved = _FLOAT * (2 * 2 * scale.batch * scale.k * scale.dimension + 10 * weights)
    return Work(
        f"MML, a training step of {scale.batch} images",
        (done["long"] - done["short"]) / steps,
        moved,
        max(taken["long"] - taken["short"], 1e-9) / steps,
    )
