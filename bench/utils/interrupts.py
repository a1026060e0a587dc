"""Handling of Ctrl-C that works even if other code swallows the exception."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_heard: list[int] = []


@contextmanager
def listening_for_stop() -> Iterator[None]:
    """Have an interrupt inside the block raise KeyboardInterrupt, and be remembered."""

    def hear(number: int, frame: FrameType | None) -> None:
        _heard.append(number)
        signal.default_int_handler(number, frame)

    def drop(dropped: sys.UnraisableHookArgs) -> None:
        # It is remembered, so that nobody needs to be told that it was ignored.
        if not (_heard and issubclass(dropped.exc_type, KeyboardInterrupt)):
            told(dropped)

    before, told = signal.signal(signal.SIGINT, hear), sys.unraisablehook
    sys.unraisablehook = drop
    try:
        yield
    finally:
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, before)
        _heard.clear()


def stop_requested() -> bool:
    """Whether there was an interrupt since the block of :func:`listening_for_stop` began."""
    return bool(_heard)


def stop_if_requested() -> None:
    """Raise the interrupt that was lost.

    Python drops an exception that a finaliser or a callback of the garbage collector raises, and a library may catch
    all while it is imported. A long piece of work asks here between its steps.

    Raises
    ------
    KeyboardInterrupt
        If there was an interrupt.
    """
    if _heard:
        raise KeyboardInterrupt
