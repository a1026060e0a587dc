"""Work that is stopped when its time is up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeIsUp(Exception):  # noqa: N818 - it ends a piece of work, and is no failure of it
    """The time of a piece of work was over before the work was."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeIsUp` inside the block once some seconds have passed.

    It is heard between two operations: a single long one, such as a solver in another language, ends first. Where there
    is no timer (on Windows, and outside the main thread) the block is not stopped.

    Raises
    ------
    TimeIsUp
        Once the time is over; at once where there is none.
    """
    if seconds <= 0:
        raise TimeIsUp
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
