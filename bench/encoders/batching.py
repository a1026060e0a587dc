"""Batches decoded in threads while the model computes."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from bench.utils.errors import BenchError, Notice
from bench.utils.threads import cores

A = TypeVar("A")
B = TypeVar("B")

_TASK = 16
"""Items at most that a thread takes at once."""
_THREADS = 16
"""Threads at most where nobody asks for a number: what is no decoding holds the interpreter's lock."""


def decoding_threads(device: torch.device, wanted: int | None = None) -> int:
    """Return how many threads read and decode images: what is wanted, else one beside a model that uses the processors.

    A model on another device waits for images and not for processors: there is a thread for each processor but the
    one that feeds the device.
    """
    if wanted is not None:
        return wanted
    return 1 if device.type == "cpu" else min(_THREADS, max(1, cores() - 1))


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


@dataclass(eq=False)
class WithinMemory:
    """Calls a model on batches, in parts that fit into the device's memory.

    A part that does not fit is halved. What fitted then is not exceeded again, so that the memory is filled in vain at
    the first such batch only; the user is told of it once.

    Attributes
    ----------
    what : str
        What a row is, in the plural, for messages.
    most : int or None
        Rows a part; None as long as every batch fitted whole.
    """

    what: str
    most: int | None = None

    def __call__(self, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return ``forward(x)``, [n, ...], one part after the other.

        Raises
        ------
        BenchError
            If a single row does not fit.
        """
        before, done, parts = self.most, 0, []
        while done < len(x):
            part = x[done : done + (self.most or len(x))]
            try:
                parts.append(forward(part))
            except torch.OutOfMemoryError:
                # The failed attempt's tensors are free after the handler, before the next one.
                self.most = len(part) // 2
            else:
                done += len(part)
            if self.most == 0:
                self.most = before
                raise BenchError(
                    f"the device has too little memory for the encoder with one of the {self.what}; use a smaller "
                    "encoder, fp16 or the CPU, or end what else uses it"
                )
        if self.most != before:
            warnings.warn(
                Notice(
                    f"the device is too full for {len(x)} {self.what} at once, so {self.most} are encoded at a time"
                ),
                stacklevel=2,
            )
        return torch.cat(parts)
