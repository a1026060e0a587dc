"""How long an answer takes as users feel it: one query at a time, and many."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

BATCHES = (1, 256)
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
    """Return the latency at each of :data:`BATCHES`, as plain values by batch."""
    return {str(batch): asdict(latency(answer, queries, batch, seconds=seconds)) for batch in BATCHES}
