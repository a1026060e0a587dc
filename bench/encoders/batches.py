"""Batches decoded in threads while the model computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from bench.errors import BenchError

A = TypeVar("A")
B = TypeVar("B")

_TASK = 16
"""Items at most that a thread takes at once."""


def ahead(function: Callable[[A], B], items: Iterable[A], *, workers: int, depth: int) -> Iterator[B]:
    """Yield ``function(item)`` in order, up to ``depth`` items computed before they are asked for.

    With ``workers=0`` nothing runs ahead. Pillow and torch release the interpreter lock while they decode and resize.
    """
    if workers == 0:
        yield from map(function, items)
        return
    # A few items a task: handing one over costs as much as decoding a small image.
    size = max(1, min(_TASK, depth // (2 * workers)))
    tasks = groups(items, size)
    several = lambda group: [function(item) for item in group]  # noqa: E731 - it binds the function
    with ThreadPoolExecutor(workers) as pool:
        first = islice(tasks, max(1, depth // size))
        waiting: deque[Future[list[B]]] = deque(pool.submit(several, group) for group in first)
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(several, group) for group in islice(tasks, 1))
                yield from done
        finally:
            for future in waiting:
                future.cancel()


def groups(items: Iterable[A], size: int) -> Iterator[list[A]]:
    """Yield lists of ``size`` items; the last may be shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def within_memory(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``forward(x)``, cut in halves as often as the device's memory asks for.

    Raises
    ------
    BenchError
        If a single row does not fit.
    """
    try:
        return forward(x)
    except torch.OutOfMemoryError:
        if len(x) == 1:
            raise BenchError(
                "the device has too little memory for one image; use a smaller encoder, fp16 or the CPU"
            ) from None
    # Outside the handler, so that the failed attempt's tensors are free before the next one.
    half = len(x) // 2
    return torch.cat([within_memory(forward, x[:half]), within_memory(forward, x[half:])])
