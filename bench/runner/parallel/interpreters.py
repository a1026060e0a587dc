"""Fresh interpreters for workers, which import while the command still plans the run.

Nothing heavy is imported here: an interpreter that is started first thing is ready when the plan is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from bench.utils.threads import cores
from bench.utils.whole_numbers import whole_number

Interpreter = subprocess.Popen[str]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def threads_each(jobs: int) -> int:
    """Return the threads of each of some workers: the user's OMP_NUM_THREADS, or an equal share of the processors."""
    return whole_number(os.environ.get("OMP_NUM_THREADS", "")) or max(1, cores() // jobs)


def start(threads: int) -> Interpreter:
    """Return an interpreter that runs :mod:`bench.runner.parallel.worker` and computes with so many threads.

    It is not forked: threads of torch, Arrow and CUDA do not survive a fork.
    """
    # A module of the working directory must not take the place of one of the harness's, unless it does so here too.
    safely = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
    return subprocess.Popen(
        [sys.executable, *safely, "-m", "bench.runner.parallel.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        # A session of its own: Ctrl-C reaches the parent only, which then stops its workers.
        start_new_session=True,
    )


@contextmanager
def waiting(jobs: int) -> Iterator[deque[Interpreter]]:
    """Yield interpreters for some workers, none for one, from which they are taken; the rest end with the block."""
    ready = deque(start(threads_each(jobs)) for _ in range(min(jobs, cores()) if jobs > 1 else 0))
    try:
        yield ready
    finally:
        for interpreter in ready:
            interpreter.kill()
            interpreter.wait()
