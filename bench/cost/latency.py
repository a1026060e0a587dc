"""How long an answer takes as users feel it: one query at a time, and many."""

from __future__ import annotations

import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from bench.utils.errors import Notice

BATCHES = (1, 256)
BUSY = 1.25
"""Processes that run or wait for each core, on average over a minute, from which a machine counts as busy."""
WARM_UP = 3
"""Calls that are not timed."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of a call.

    Attributes
    ----------
    median_ms, p95_ms : float
        Of a call with the whole batch.
    repetitions, warm_up : int
        Timed calls, and calls before them that were not.
    """

    median_ms: float
    p95_ms: float
    repetitions: int
    warm_up: int


def latency(answer: Callable[[Tensor], Any], queries: Tensor, batch: int, *, seconds: float = 0.5) -> Latency:
    """Return the latency of a callable for ``batch`` queries at a time; other queries at each call, in turn.

    Parameters
    ----------
    queries : Tensor [q, d]
        Taken one after the other, and from the start again.
    seconds : float
        Timed calls go on for so long, but for at least 5 and at most 1000 calls.
    """
    took: list[float] = []
    at = 0
    for call in range(WARM_UP + 1000):
        rows = [(at + n) % len(queries) for n in range(batch)]
        at += batch
        part = queries[rows]
        start = time.perf_counter()
        answer(part)
        if call >= WARM_UP:
            took.append(time.perf_counter() - start)
        if len(took) >= 5 and sum(took) > seconds:
            break
    return Latency(
        median_ms=1000 * statistics.median(took),
        p95_ms=1000 * float(np.quantile(took, 0.95)),
        repetitions=len(took),
        warm_up=WARM_UP,
    )


def latencies(answer: Callable[[Tensor], Any], queries: Tensor, *, seconds: float = 0.5) -> dict[str, Any]:
    """Return the latency at each of :data:`BATCHES`, as plain values by batch; warn of a busy machine."""
    if (load_per_core() or 0) > BUSY:
        warnings.warn(Notice("the machine is busy, so that answers take longer than they would"), stacklevel=2)
    return {str(batch): asdict(latency(answer, queries, batch, seconds=seconds)) for batch in BATCHES}


def load_per_core() -> float | None:
    """Return how many processes ran or waited for each core, on average over a minute; None where nobody counts."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return None


def columns(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns of a record for what :func:`latencies` returned."""
    one, many = (found[str(batch)] for batch in BATCHES)
    told = {"repetitions": [one["repetitions"], many["repetitions"]], "warm_up": WARM_UP, "load": load_per_core()}
    return {
        "answer_1_ms": one["median_ms"],
        "answer_1_p95_ms": one["p95_ms"],
        "answer_256_ms": many["median_ms"],
        "answer_256_p95_ms": many["p95_ms"],
        "answers_per_second": 1000 * BATCHES[1] / many["median_ms"],
        "answer_details": json.dumps(told),
    }
