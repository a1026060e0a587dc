"""Workers that do as they are told, and work for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from bench.results.run_folder import Files, Store
from bench.runner.events import Began, CellSummary, Finished, RunLog
from bench.runner.parallel.scheduler import WorkerError, WorkerLost, distribute
from bench.runner.parallel.work_units import WorkUnit


def summary_of(cell: str) -> CellSummary:
    return CellSummary(cell=cell, status="ok", method="m", dataset="d", seed=0)


class Scripted:
    """A worker that dies at the cells of a list, once an entry."""

    def __init__(self, deadly: list[str], log: list[str]) -> None:
        self.deadly, self.log, self.open = deadly, log, True

    def ready(self) -> None:
        if "start" in self.deadly:
            self.deadly.remove("start")
            raise WorkerLost("signal SIGKILL")

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        for cell in unit.cells.values():
            yield Began(cell, f"method on data, {cell}")
            if cell in self.deadly:
                self.deadly.remove(cell)
                raise WorkerLost("signal SIGKILL")
            if cell == "broken":
                raise WorkerError("Traceback: no luck")
            self.log.append(cell)
            yield Finished(cell, Files(record=cell.encode(), predictions=None), summary_of(cell))

    def close(self) -> None:
        self.open = False


WORK = [WorkUnit(0, {"a": "a0", "b": "b0", "c": "c0"}), WorkUnit(1, {"a": "a1", "b": "b1", "c": "c1"})]


def run(
    work: list[WorkUnit], deadly: list[str], folder: Path, count: int = 2, log: RunLog | None = None
) -> tuple[list[str], list[Scripted]]:
    """Distribute work units over scripted workers; return the cells in the order in which they were computed."""
    order: list[str] = []
    started: list[Scripted] = []

    def start(number: int) -> Scripted:
        started.append(Scripted(deadly, order))
        return started[-1]

    before = set(threading.enumerate())
    try:
        distribute(work, count, start, Store(folder), log or RunLog())
    finally:
        # Threads that other tests left may end at any time.
        assert set(threading.enumerate()) <= before
        assert not any(worker.open for worker in started), "a worker was left running"
    return order, started
