"""Processes for workers, which are ready when the command has planned the run.

With a thread each (``OMP_NUM_THREADS=1``, on Linux) they are forked from the command when it has imported what all
need, once instead of once a worker; else they are fresh interpreters that import while the command does. Nothing heavy
is imported here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NoReturn, TextIO

from bench.utils.threads import cores
from bench.utils.whole_numbers import whole_number


class Forked:
    """A worker that was forked from this process, with what is used here of :class:`subprocess.Popen`."""

    def __init__(self, process: int, stdin: IO[str], stdout: IO[str]) -> None:
        self._process, self.stdin, self.stdout = process, stdin, stdout
        self._status: int | None = None
        self._lock = threading.Lock()

    def kill(self) -> None:
        """End it at once, if it is there."""
        with self._lock:
            if self._status is None:
                os.kill(self._process, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until it is gone, and return its status; minus the number of the signal that ended it."""
        # It is only looked at before it is reaped: until then its number is no other process's.
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOWAIT)
        with self._lock:
            if self._status is None:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return self._status


Interpreter = subprocess.Popen[str] | Forked

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def threads_each(jobs: int) -> int:
    """Return the threads of each of some workers: the user's OMP_NUM_THREADS, or an equal share of the processors."""
    return whole_number(os.environ.get("OMP_NUM_THREADS", "")) or max(1, cores() // jobs)


def start(threads: int) -> Interpreter:
    """Return an interpreter that runs :mod:`bench.runner.parallel.worker` and computes with so many threads.

    It is not forked: threads of torch, Arrow and CUDA, which there may be by now, do not survive a fork.
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
    """Yield interpreters for some workers, none for one, from which they are taken; the rest end with the block.

    There are none yet where :func:`fork` will add them.
    """
    count = min(jobs, cores()) if jobs > 1 and not _forks() else 0
    ready: deque[Interpreter] = deque(start(threads_each(jobs)) for _ in range(count))
    try:
        yield ready
    finally:
        for interpreter in ready:
            interpreter.kill()
            interpreter.wait()


def fork(ready: deque[Interpreter], jobs: int, serve: Callable[[TextIO], None]) -> None:
    """Add workers that are forked from this process, if :func:`waiting` started none and there are no threads.

    To be called when all that workers need is imported and nothing was computed. ``serve`` is what a worker does with
    its standard input.
    """
    if jobs < 2 or not _forks() or len(os.listdir("/proc/self/task")) > 1:
        return
    ours: list[int] = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for _ in range(min(jobs, cores())):
        (reads, tells), (hears, writes) = os.pipe(), os.pipe()
        ours += tells, hears
        process = os.fork()
        if not process:
            _serve(reads, writes, ours, serve)
        os.close(reads)
        os.close(writes)
        ready.append(Forked(process, os.fdopen(tells, "w", buffering=1), os.fdopen(hears)))


def _forks() -> bool:
    """Return whether workers are forked: with a thread each, nothing that is imported starts others."""
    return sys.platform == "linux" and whole_number(os.environ.get("OMP_NUM_THREADS", "")) == 1


def _serve(reads: int, writes: int, others: Iterable[int], serve: Callable[[TextIO], None]) -> NoReturn:
    """Be a worker that reads from one pipe and writes to another, and end; the command's ends of pipes are closed."""
    status = 1
    try:
        # A session of its own: Ctrl-C reaches the command only, which then stops its workers.
        os.setsid()
        # While a sibling held the command's end of a pipe, a worker would not notice that the command is gone.
        for pipe in others:
            os.close(pipe)
        for pipe, place in ((reads, 0), (writes, 1)):
            os.dup2(pipe, place)
            os.close(pipe)
        serve(os.fdopen(0, closefd=False))
        status = 0
    finally:
        # What this process was is the command's to end.
        os._exit(status)
