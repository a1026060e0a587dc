"""Cells whose method raises: recorded as failed, beside the others, and tried again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

import bench
from bench.cli.main import main
from bench.core.registry import METHODS
from bench.results.run_folder import Store, read_records
from bench.results.schema import UNSTABLE
from bench.runner.api import run as records_of
from bench.runner.config import RunConfig
from bench.runner.events import CellSummary, FirstFailure, RunLog, in_words
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.plan import plan
from bench.utils.errors import BenchError
from tests import toy
from tests.unit.runner.runs import cells
from tests.unit.runner.scripted_workers import WORK, run

SICK = "TEST_SICK_SEEDS"


@pytest.fixture(autouse=True)
def sick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a method that fails on the seeds that the environment names."""
    METHODS.load()
    monkeypatch.setattr(METHODS, "_known", dict(METHODS._known))
    monkeypatch.setenv(SICK, "1")

    @bench.method("sick", paper="none", equation="none")
    @dataclass(frozen=True, kw_only=True)
    class Sick:
        """Answers with the first class."""

        def build(self, task: Any, *, rng: Any) -> Any:
            from bench.runner.handover import method_stream

            seeds = [int(seed) for seed in os.environ[SICK].split(",") if seed]
            if rng.key() in [method_stream(s, "sick").child("session", 0).key() for s in seeds]:
                raise ValueError("no\nluck")
            return torch.arange(task.n_classes).neg().float()

        def score(self, state: Any, queries: Any) -> Any:
            return state.expand(len(queries), -1)


def go(**options: Any) -> pd.DataFrame:
    return records_of("supervised", ["sick", "protonet"], toy.dataset(), seeds=3, device="cpu", **options)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), prog_name="bench")


COMMAND = ("run", "--scenario", "supervised", "--methods", "sick,protonet", "--data", "digits", "--quiet")


def test_a_failure_is_recorded_and_the_others_finish(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="failed sick on toy, seed 1: ValueError: no luck"):
        frame = go(out=tmp_path)
    assert len(frame) == 6
    (failed,) = frame[frame["status"] == "failed"].to_dict("records")
    assert (failed["method"], failed["dataset"], failed["seed"]) == ("sick", "toy", 1)
    assert (failed["error_type"], failed["reason"]) == ("ValueError", "no luck")
    assert 'raise ValueError("no\\nluck")' in failed["traceback"]
    assert pd.isna(failed["n_correct"])
    assert frame.loc[frame["status"] == "ok", ["reason", "error_type", "traceback"]].isna().all(axis=None)
    (folder,) = tmp_path.iterdir()
    pd.testing.assert_frame_equal(read_records(folder), frame)
    assert Store(folder).failed() == {failed["cell"]}
    assert len(Store(folder).finished()) == 5


def test_the_same_command_tries_again_and_ends_as_if_nothing_had_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(RuntimeWarning):
        before = go(out=tmp_path)
    (folder,) = tmp_path.iterdir()
    stamps = {path.name: path.stat().st_mtime_ns for path in (folder / "records").iterdir()}
    monkeypatch.setenv(SICK, "")
    after = go(out=tmp_path)
    assert set(after["status"]) == {"ok"}
    assert not Store(folder).failed()
    names = {path.name for path in (folder / "records").iterdir()}
    assert names == {f"{cell}.parquet" for cell in before["cell"]}
    assert all(stamps.get(name, -1) in (-1, (folder / "records" / name).stat().st_mtime_ns) for name in names)
    pd.testing.assert_frame_equal(after.drop(columns=[*UNSTABLE]), go().drop(columns=[*UNSTABLE]))


def test_a_run_that_finished_is_handed_back_without_being_computed(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning):
        first = go(out=tmp_path)
    with pytest.warns(RuntimeWarning):
        again = go(out=tmp_path)
    ok = first["status"] == "ok"
    pd.testing.assert_frame_equal(first[ok], again[ok])


def test_what_was_just_computed_is_not_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("a file was read that had just been written")

    monkeypatch.setattr(Store, "get", read)
    monkeypatch.setattr("bench.runner.loop.read_table", read)
    with pytest.warns(RuntimeWarning):
        assert len(go(out=tmp_path)) == 6


def test_fail_fast_stops_at_the_first_and_raises_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        go(out=tmp_path, fail_fast=True)
    assert str(caught.value) == "failed sick on toy, seed 1: ValueError: no luck"
    assert any("raise ValueError" in note for note in caught.value.__notes__)
    (folder,) = tmp_path.iterdir()
    assert len(Store(folder).finished()) == 2
    assert len(Store(folder).failed()) == 1


def test_the_command_and_the_report_leave_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*COMMAND, "--seeds", "3")
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert "failed sick on digits, seed 1: ValueError: no luck" in lines
    assert "bench: 1 cell failed; the same command tries again" in lines
    assert any(line.startswith("5 cells in runs") for line in lines)
    report = call("report")
    assert report.exit_code == 1, report.output
    assert "sick failed in 1 cell on digits: ValueError: no luck" in " ".join(report.output.split())
    monkeypatch.setenv(SICK, "")
    assert call(*COMMAND, "--seeds", "3").exit_code == 0
    assert call("report").exit_code == 0


def test_fail_fast_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*COMMAND, "--seeds", "1,2", "--fail-fast")
    assert done.exit_code == 1
    assert "bench: stopped at the first failure; the same command goes on where it stopped" in done.output
    (folder,) = (tmp_path / "runs").iterdir()
    assert not Store(folder).finished()


def test_a_run_of_failures_alone_has_nothing_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work = ("run", "--scenario", "supervised", "--methods", "sick", "--data", "digits", "--seeds", "1,", "--quiet")
    assert call(*work).exit_code == 1
    report = call("report")
    assert report.exit_code == 2
    assert "nothing to report, since every cell was skipped or failed: sick failed in 1 cell on digits" in report.output


def test_failed_cells_of_shards_are_part_of_the_merged_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(out: str, shard: str | None = None) -> Any:
        methods = ["sick", "protonet"]
        return plan(RunConfig(scenario="supervised", methods=methods, data=[toy.dataset()], seeds=2, shard=shard,
                              device="cpu", out=tmp_path / out))  # fmt: skip

    for number in (1, 2):
        execute(planned("parts", f"{number}/2"))
    folder, count = merge([tmp_path / "parts"], tmp_path / "merged")
    assert count == 4
    assert len(Store(folder).finished()) == 3
    assert len(Store(folder).failed()) == 1
    monkeypatch.setenv(SICK, "")
    assert not execute(planned("merged")).failed
    assert len(Store(folder).finished()) == 4
    assert not Store(folder).failed()


def test_a_summary_tells_what_was_skipped_now_and_before(tmp_path: Path) -> None:
    def summary() -> Any:
        methods = ["protonet", "zero-shot"]
        return execute(plan(RunConfig(methods=methods, data="digits", seeds=1, device="cpu", out=tmp_path)))

    first, second = summary(), summary()
    assert (first.planned, first.resumed, second.resumed) == (2, 0, 2)
    assert first.skipped == second.skipped
    (line,) = in_words(first.skipped)
    assert line.startswith("skipped zero-shot on digits: needs a text for every class")
    assert not first.failed


def test_failures_that_are_alike_are_one_line() -> None:
    def failed(seed: int, reason: str) -> CellSummary:
        return CellSummary(
            cell=f"c{seed}", status="failed", method="m", dataset="d", seed=seed, reason=reason, error_type="KeyError"
        )

    assert in_words([failed(2, "a"), failed(0, "a"), failed(1, "b")]) == [
        "failed m on d, seeds 0, 2: KeyError: a",
        "failed m on d, seed 1: KeyError: b",
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_workers_stop_at_the_first_failure(tmp_path: Path, count: int) -> None:
    class Log(RunLog):
        def hear(self, event: Any, store: Store) -> None:
            super().hear(event, store)
            if len(self.cells) == 2:
                raise FirstFailure

    with pytest.raises(FirstFailure):
        run(WORK, [], tmp_path, count, Log())
    assert len(Store(tmp_path).finished()) == 2 < len(cells(WORK))
