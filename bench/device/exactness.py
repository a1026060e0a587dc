"""How a cell is computed: in full float32, and by kernels that answer alike from run to run where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
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


class Attempt:
    """One attempt at a computation, as a block; a strict one ends quietly where an operation has no such kernel.

    Attributes
    ----------
    strict : bool
        Whether only deterministic kernels may run.
    """

    def __init__(self, device: str, *, strict: bool) -> None:
        self.strict, self.lacks = strict, False
        self._device, self._stack = device, ExitStack()

    def __enter__(self) -> Attempt:
        self._stack.enter_context(exactly(self._device, strict=self.strict))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._stack.close()
        self.lacks = self.strict and error is not None and is_lack(error)
        return self.lacks


def attempts(device: str) -> Iterator[Attempt]:
    """Yield attempts at a computation: a strict one and, if some operation has no deterministic kernel, one more.

    The body of ``for attempt in attempts(device): with attempt: ...`` is the computation; afterwards ``attempt.strict``
    says whether all of it ran by deterministic kernels. What a failed attempt made is free before the next one, unless
    the body keeps it.
    """
    for strict in (True, False):
        attempt = Attempt(device, strict=strict)
        yield attempt
        if not attempt.lacks:
            return


def conscientiously(device: str, compute: Callable[[], T]) -> tuple[T, bool]:
    """Return what a computation gives, and whether all of it ran by deterministic kernels."""
    for attempt in attempts(device):
        with attempt:
            return compute(), attempt.strict
    raise AssertionError("the second attempt lacks nothing")
