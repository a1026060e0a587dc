"""Work is stopped when its time is up, and what was there before is there again."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from bench.utils.time_limit import TimeIsUp, time_limit

needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer on this system")


def work(limit: float, until: float) -> None:
    with time_limit(limit):
        while time.monotonic() < until:
            pass


@needs_timer
def test_long_work_is_stopped_and_short_work_is_not() -> None:
    before, start = signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(TimeIsUp):
        work(0.05, start + 20)
    assert time.monotonic() - start < 10
    with time_limit(30):
        done = True
    assert done
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_without_time_nothing_begins() -> None:
    with pytest.raises(TimeIsUp), time_limit(0):
        pytest.fail("it began")


def test_other_threads_are_left_alone() -> None:
    heard: list[str] = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
            heard.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == ["done"]
