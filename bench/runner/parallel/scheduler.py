"""``bench run --jobs``: cells on several processes of one machine; one that is lost loses nothing."""

from __future__ import annotations

import json
import queue
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol

from bench.device import gpus
from bench.results.run_folder import Store
from bench.runner.events import Began, CellSummary, Finished, RunLog
from bench.runner.parallel import interpreters
from bench.runner.parallel.interpreters import Interpreter, threads_each
from bench.runner.parallel.job_spec import JobSpec, job_spec
from bench.runner.parallel.work_units import WorkUnit
from bench.runner.plan import Run
from bench.utils.errors import BenchError, Notice
from bench.utils.interrupts import stop_if_requested

_NO_GROUP = object()
"""Where a worker is before its first unit."""
_CHANCES = 2
"""How often a cell, or the start of a worker, may lose its worker before it is given up."""


class WorkerLost(Exception):  # noqa: N818 - the scheduler's business, not the user's
    """A worker is gone; the message says how."""


class WorkerError(RuntimeError):
    """A method failed in a worker; the message is the worker's traceback."""


class Worker(Protocol):
    """Something that runs work units, one at a time."""

    def ready(self) -> None:
        """Wait until it has planned the run; raises as :meth:`work` does."""

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        """Yield what happens; a finished cell has no files if they are written.

        Raises
        ------
        WorkerLost
            If it is gone.
        BenchError, WorkerError
            If the unit cannot be run by any worker.
        """

    def close(self) -> None:
        """Stop at once, whatever it does."""


@dataclass(frozen=True)
class WorkerPool:
    """Workers that can be had.

    Attributes
    ----------
    count : int
        How many.
    start : callable
        Returns a new worker, for the place of the given number.
    """

    count: int
    start: Callable[[int], Worker]

    def do(self, work: list[WorkUnit], store: Store, log: RunLog) -> None:
        """Run work units and write their cells; see :func:`distribute`."""
        distribute(work, min(self.count, len(work)), self.start, store, log)


def process_pool(run: Run, store: Store, jobs: int, command: list[str] | None, ready: deque[Interpreter]) -> WorkerPool:
    """Return ``jobs`` processes of this machine, first those that are ``ready``.

    A run that cannot be sent to them raises :class:`BenchError`.
    """
    spec = job_spec(run, command, threads_each(jobs))
    differ = gpus.difference(gpus.kinds(run.device)[:jobs])
    if differ is not None:
        warnings.warn(Notice(differ), stacklevel=2)
    return WorkerPool(jobs, lambda number: Process(spec, store, gpus.share(run.device, number), ready))


class Process:
    """An interpreter, fed through its standard input. Packs are memory-mapped, so all processes share their pages."""

    def __init__(self, spec: JobSpec, store: Store, environment: dict[str, str], ready: deque[Interpreter]) -> None:
        try:
            self._process = ready.popleft()
        except IndexError:
            self._process = interpreters.start(spec.threads)
        self._say([spec.to_json(), str(store.folder.resolve()), environment])

    def ready(self) -> None:
        """Wait until the process has planned the run."""
        self._hear()

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        """Yield what the process says of a unit."""
        self._say([unit.episode, dict(unit.cells)])
        while (event := self._hear())[0] != "done":
            if event[0] == "began":
                yield Began(*event[1:])
            else:
                yield Finished(event[1], None, CellSummary(**event[2]))

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def _say(self, message: object) -> None:
        with suppress(BrokenPipeError):
            _of(self._process.stdin).write(json.dumps(message) + "\n")

    def _hear(self) -> list[Any]:
        line = _of(self._process.stdout).readline()
        if not line.endswith("\n"):
            raise WorkerLost(_how(self._process.wait()))
        event: list[Any] = json.loads(line)
        if event[0] == "refused":
            raise BenchError(event[1])
        if event[0] == "broken":
            raise WorkerError(event[1])
        return event


def _of(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _how(status: int) -> str:
    if status >= 0:
        return f"it left with status {status}"
    reason = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"signal {signal.Signals(-status).name}{reason}"


def distribute(work: list[WorkUnit], count: int, start: Callable[[int], Worker], store: Store, log: RunLog) -> None:
    """Run work units on ``count`` workers, each given the next one when it is free.

    A lost worker is replaced; the cell it was at runs once more, alone, and the rest of its unit after it. A cell
    that loses its worker twice is set aside until all others are finished.

    Raises
    ------
    BenchError
        If cells were set aside, or a worker cannot start.
    """
    work_queue = _Queue(work)
    threads = [threading.Thread(target=_attend, args=(work_queue, n, start), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        left = count
        while left:
            event = work_queue.events.get()
            if event is None:
                left -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                log.hear(event, store)
            stop_if_requested()
    finally:
        work_queue.close()
        for thread in threads:
            thread.join()
    if work_queue.given_up:
        raise BenchError(
            "; ".join(f"{what} lost its worker {_CHANCES} times: {how}" for what, how in work_queue.given_up)
            + "; all other cells are finished; give it more memory or leave it out, and run again"
        )


class _Queue:
    """What the threads that attend to workers share: work to take, events to tell."""

    def __init__(self, work: list[WorkUnit]) -> None:
        self.events: queue.Queue[Began | Finished | BaseException | None] = queue.Queue()
        self.given_up: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._waiting = deque(work)
        self._losses: Counter[str] = Counter()
        self._workers: dict[int, Worker] = {}
        self._groups: dict[int, Hashable] = {}
        """The group of each worker's last unit."""
        self._closed = False

    def next_unit(self, number: int) -> WorkUnit | None:
        """Return a worker's next unit; None when there is none, or no more shall be done.

        It is the first of the group that the worker is at, which shares work with what it has done; else the first of a
        group that no other worker is at; else the first.
        """
        with self._lock:
            if not self._waiting or self._closed:
                return None
            others = {group for worker, group in self._groups.items() if worker != number}
            at = self._groups.get(number, _NO_GROUP)
            place = min(
                range(len(self._waiting)),
                key=lambda n: (self._waiting[n].group != at, self._waiting[n].group in others),
            )
            unit = self._waiting[place]
            del self._waiting[place]
            self._groups[number] = unit.group
            return unit

    def register(self, number: int, worker: Worker) -> None:
        """Remember a worker so that it can be stopped."""
        with self._lock:
            self._workers[number] = worker
            if self._closed:
                worker.close()

    def requeue(self, rest: WorkUnit, at: str, what: str, how: str) -> None:
        """Put back what a lost worker left undone, if anything; ``at`` is the cell it was at."""
        if not rest.cells:
            return
        with self._lock:
            self._losses[at] += 1
            others = rest.without({at})
            if others.cells:
                self._waiting.appendleft(others)
            if self._losses[at] < _CHANCES:
                self._waiting.appendleft(rest.without(set(others.cells.values())))
            else:
                self.given_up.append((what, how))

    def close(self) -> None:
        """Stop all workers."""
        with self._lock:
            self._closed = True
            for worker in self._workers.values():
                worker.close()


def _attend(work_queue: _Queue, number: int, start: Callable[[int], Worker]) -> None:
    """Keep one worker busy, and replace it when it is lost; ends when there is no work left."""
    worker: Worker | None = None
    try:
        while (unit := work_queue.next_unit(number)) is not None:
            if worker is None:
                worker = _start(work_queue, start, number)
            done: set[str] = set()
            ahead = list(unit.cells.values())
            at, what = ahead[0], f"the first cell of episode {unit.episode}"
            try:
                for event in worker.work(unit):
                    if isinstance(event, Began):
                        at, what = event.cell, f"{event.what} (cell {event.cell})"
                    else:
                        done.add(event.cell)
                        # Until it says what it begins, it may be lost at the next one.
                        at = next((cell for cell in ahead if cell not in done), "")
                        what = f"cell {at}"
                    work_queue.events.put(event)
            except WorkerLost as loss:
                worker.close()
                worker = None
                work_queue.requeue(unit.without(done), at, what, str(loss))
    except BaseException as error:
        work_queue.events.put(error)
    else:
        if worker is not None:
            worker.close()
        work_queue.events.put(None)


def _start(work_queue: _Queue, start: Callable[[int], Worker], number: int) -> Worker:
    """Return a worker that is ready."""
    for _ in range(_CHANCES):
        worker = start(number)
        work_queue.register(number, worker)
        try:
            worker.ready()
        except WorkerLost as loss:
            worker.close()
            how = str(loss)
        else:
            return worker
    raise BenchError(f"a worker stopped before it could begin: {how}; try fewer --jobs, or --jobs 1 to see why")
