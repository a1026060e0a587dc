"""Cells of a run that are asked the same queries share what follows from these alone, and no record shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cost.kept import Kept
from bench.functional import gaussian
from bench.methods import klda, ranpac
from bench.results.run_folder import read_predictions, read_records
from bench.results.schema import UNSTABLE
from bench.runner.config import RunConfig
from bench.runner.events import Began, Finished
from bench.runner.loop import execute, perform
from bench.runner.parallel.scheduler import WorkerPool, _Queue
from bench.runner.parallel.work_units import WorkUnit, work_units
from bench.runner.plan import Run, plan
from tests import toy

SETTINGS = {"ranpac.width": 60, "klda.width": 40, "few-to-many-shot.shots": [1, 2, 4]}


def planned(out: Path, **changes: Any) -> Run:
    given = {"scenario": ["few-to-many-shot"], "methods": ["ranpac", "klda"], "data": [toy.dataset()], "seeds": 2}
    return plan(RunConfig(**{**given, "set": SETTINGS, "out": out, "device": "cpu", **changes}))


def found(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a run wrote, but for times and peaks."""
    records = read_records(run.folder).drop(columns=list(UNSTABLE))
    return records, read_predictions(run.folder).sort_values(["cell", "query"], ignore_index=True)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return a list that grows by every product with random weights: whose, and of how many rows."""
    made: list[tuple[str, int]] = []
    own = {"ranpac": (ranpac, "_projected"), "klda": (klda, "_embedded")}
    for name, (module, function) in own.items():
        before = getattr(module, function)

        def watched(x: Any, *weights: Any, name: str = name, before: Any = before) -> Any:
            made.append((name, len(x)))
            return before(x, *weights)

        monkeypatch.setattr(module, function, watched)
    return made


def test_records_are_those_of_a_run_that_shares_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: list[tuple[str, int]]
) -> None:
    for calibrate in (False, True):
        run = planned(tmp_path / f"shared-{calibrate}", calibrate=calibrate)
        embedded.clear()
        execute(run)
        queries = len(run.episodes[0].dataset.role("query"))
        shared = {name: embedded.count((name, queries)) for name in ("ranpac", "klda")}
        with monkeypatch.context() as alone:
            alone.setattr(Kept, "same", lambda self, queries: queries)
            alone.setattr(Kept, "find", lambda self, key: None)
            apart = planned(tmp_path / f"apart-{calibrate}", calibrate=calibrate)
            embedded.clear()
            execute(apart)
        # Once a seed where each of three shot counts projected them.
        assert shared == {"ranpac": 2, "klda": 2}
        assert {name: embedded.count((name, queries)) for name in shared} == {"ranpac": 6, "klda": 6}
        for ours, theirs in zip(found(run), found(apart), strict=True):
            pd.testing.assert_frame_equal(ours, theirs)


def test_a_draw_is_made_once_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = gaussian.Fourier.__init__
    monkeypatch.setattr(
        gaussian.Fourier,
        "__init__",
        lambda self, frequencies, phases: (drawn.append(frequencies), real(self, frequencies, phases))[1],
    )
    execute(planned(tmp_path, calibrate=False))
    assert len(drawn) == 6
    assert len({id(one) for one in drawn}) == 2


def test_a_group_in_which_nothing_repeats_keeps_nothing(tmp_path: Path) -> None:
    several, one = planned(tmp_path), planned(tmp_path, set={**SETTINGS, "few-to-many-shot.shots": [2]})
    sweep = planned(tmp_path, set={"few-to-many-shot.shots": [2], "ranpac.width": 60, "klda.gamma": [1.0, 2.0]})
    assert several.repeating == {spec.group for spec in several.episodes}
    assert one.repeating == frozenset()
    assert sweep.repeating == {spec.group for spec in sweep.episodes}


def test_conditions_of_a_seed_follow_one_another(tmp_path: Path) -> None:
    run = planned(tmp_path)
    assert [(spec.seed, spec.condition["shots"]) for spec in run.episodes] == [
        (seed, shots) for seed in (0, 1) for shots in (1, 2, 4)
    ]


def test_a_worker_stays_with_its_group_and_takes_another_where_nobody_is() -> None:
    episodes = [{"m": f"{n}"} for n in range(8)]
    queue = _Queue(work_units(episodes, (), 2, groups="aaabbbcc"))

    def cell(worker: int) -> str:
        unit = queue.next_unit(worker)
        assert unit is not None
        return unit.cells["m"]

    assert [cell(worker) for worker in (0, 1, 1, 0, 1)] == ["0", "3", "4", "1", "5"]
    # The second worker's group is done: nobody is at the third, where the first joins it in the end.
    assert [cell(worker) for worker in (1, 0, 0)] == ["6", "2", "7"]
    assert queue.next_unit(1) is None


class Local:
    """A worker of this process."""

    def __init__(self, run: Run) -> None:
        self._run, self._kept = run, Kept[Any]()

    def ready(self) -> None:
        """It is."""

    def work(self, unit: WorkUnit) -> Iterator[Began | Finished]:
        return perform(self._run, unit, "{}", self._kept)

    def close(self) -> None:
        self._kept.clear()


def test_two_workers_write_the_records_of_one(tmp_path: Path) -> None:
    alone, two = planned(tmp_path / "alone", seeds=3), planned(tmp_path / "two", seeds=3)
    execute(alone)
    execute(two, workers=lambda store: nullcontext(WorkerPool(2, lambda number: Local(two))))
    for ours, theirs in zip(found(two), found(alone), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
