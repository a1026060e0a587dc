"""The processors of this machine, and how long threads spin before they sleep when they wait for one another."""

from __future__ import annotations

import os

_TURNS = "2000"


def wait_briefly() -> None:
    """Have the threads of this process sleep soon when they wait, unless the user's environment says how long.

    To be called before torch is imported. Its OpenMP (GNU's, on Linux) otherwise looks for the other threads 300,000
    times, some milliseconds, at the end of each step. Where another program holds a core, that thread does not come
    before its turn, and most of the time goes into looking.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = _TURNS


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
