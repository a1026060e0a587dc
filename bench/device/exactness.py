"""How a cell is computed: in full float32, and by kernels that answer alike from run to run where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from bench.device.determinism import deterministic, is_lack
from bench.device.precision import full_float32

T = TypeVar("T")


@contextmanager
def exactly(device: str, *, strict: bool = True) -> Iterator[None]:
    """Compute in full float32 inside the block and, on a GPU, by deterministic kernels.

    ``strict`` says whether an operation that has none is an error; see :func:`bench.device.determinism.deterministic`.
    """
    with full_float32(), deterministic(device, strict=strict):
        yield


def conscientiously(device: str, compute: Callable[[], T]) -> tuple[T, bool]:
    """Return what a computation gives, and whether all of it ran by deterministic kernels.

    One with an operation that has no such kernel is done once more, with whatever kernel there is.
    """
    try:
        with exactly(device):
            return compute(), True
    except RuntimeError as error:
        if not is_lack(error):
            raise
    # Outside the handler, so that the failed attempt's tensors are free before the next one.
    with exactly(device, strict=False):
        return compute(), False
