"""The scheduler, with scripted workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.results.run_folder import Files, Store
from bench.runner.events import Began, Finished, RunLog
from bench.runner.parallel.scheduler import WorkerError, WorkerLost, distribute
from bench.runner.parallel.work_units import WorkUnit
from bench.utils.errors import BenchError
from tests.unit.runner.runs import cells
from tests.unit.runner.scripted_workers import WORK, Scripted, run, summary_of


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_cell_is_computed_once_and_written(tmp_path: Path, count: int) -> None:
    log, _ = run(WORK, [], tmp_path, count)
    assert sorted(log) == sorted(cells(WORK))
    assert Store(tmp_path).finished() == set(cells(WORK))


@pytest.mark.parametrize("victim", ["a0", "b0", "c1"])
def test_the_cells_of_a_lost_worker_run_again(tmp_path: Path, victim: str) -> None:
    log, started = run(WORK, [victim], tmp_path, count=1)
    assert sorted(log) == sorted(cells(WORK)), "a cell was lost or a finished one was repeated"
    assert len(started) == 2, "a worker was lost and replaced"


@pytest.mark.parametrize("after", ["a0", "b0", "c0", "c1"])
def test_a_worker_that_is_lost_between_two_cells_loses_none(tmp_path: Path, after: str) -> None:
    log: list[str] = []

    class Between(Scripted):
        def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
            for cell in unit.cells.values():
                yield Began(cell, cell)
                self.log.append(cell)
                yield Finished(cell, Files(record=cell.encode(), predictions=None), summary_of(cell))
                if cell in self.deadly:
                    self.deadly.remove(cell)
                    raise WorkerLost("signal SIGKILL")

    deadly = [after]
    distribute(WORK, 1, lambda number: Between(deadly, log), Store(tmp_path), RunLog())
    assert sorted(log) == sorted(cells(WORK)), "a cell was lost or a finished one was repeated"
    assert Store(tmp_path).finished() == set(cells(WORK))


def test_a_cell_that_kills_twice_is_named_and_all_others_finish(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        run(WORK, ["b0", "b0"], tmp_path)
    assert str(caught.value) == (
        "method on data, b0 (cell b0) lost its worker 2 times: signal SIGKILL; all other cells are finished; give it "
        "more memory or leave it out, and run again"
    )
    assert Store(tmp_path).finished() == set(cells(WORK)) - {"b0"}


def test_a_worker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    run(WORK, ["start"], tmp_path / "once")
    with pytest.raises(BenchError, match="a worker stopped before it could begin: signal SIGKILL"):
        run(WORK, ["start"] * 4, tmp_path / "always")


def test_an_error_of_a_method_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no luck"):
        run([WorkUnit(0, {"a": "a0", "b": "broken"})], [], tmp_path)
    assert Store(tmp_path).finished() == {"a0"}
