"""What the view shows of runs: the report's numbers, live, and a line for whatever is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.reports.analysis import Analysis
from bench.reports.metrics.definitions import METRICS
from bench.results.run_folder import Store
from bench.utils.errors import BenchError
from bench.utils.version import SCHEMA
from bench.view.board import Board
from bench.view.curves import curves_of
from bench.view.reading import RecordReader
from tests.statistics.runs import make_run

METHODS = {"knn": 0.5, "mml": 0.8, "<b>odd & name": 0.6}
SHOTS = ({"shots": 1}, {"shots": 4})


def looked(board: Board) -> Board:
    """Return the board after it has looked again, however recently it had."""
    board._next_look = -1.0
    board.settle()
    return board


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run") / "a", METHODS, datasets=("pets", "cars"), conditions=SHOTS)


def test_every_number_is_the_reports(run: Path) -> None:
    analysis = Analysis.of([run])
    means = analysis.means.set_index(["scenario", "dataset", "condition", "method"])
    board = Board([run])
    assert board.settle().messages == []
    rows = board.leaderboard()["rows"]
    assert len(rows) == len(means) == 12
    for row in rows:
        expected = means.loc[(row["scenario"], row["dataset"], row["condition"], row["method"])]
        assert row["complete"]
        assert row["over"] == expected["over"]
        for metric in METRICS:
            if not metric.head:
                continue
            *numbers, mark = row["metrics"][metric.name]
            for got, side in zip(numbers, ("", "_low", "_high"), strict=True):
                want = expected[f"{metric.name}{side}"]
                assert (got is None) == bool(pd.isna(want))
                assert got is None or got == pytest.approx(want, abs=1e-12)
            key = (row["scenario"], row["dataset"], row["condition"], row["method"], metric.name)
            assert mark == analysis.marks.get(key)
    named = {column["name"] for column in board.leaderboard()["columns"]}
    assert {"accuracy", "forgetting", "build_seconds"} <= named
    assert "answer_1_ms" not in named, "a column that nobody measured is shown"


def test_means_are_there_before_the_intervals(run: Path) -> None:
    class Slow(Board):
        def _measure(self, made):  # type: ignore[no-untyped-def]
            return

    board = Slow([run])
    board.look()
    while board.reading:
        pass
    rows = board.leaderboard()
    assert rows["waiting"] == 4
    means = Analysis.of([run]).means.set_index(["scenario", "dataset", "condition", "method"])["accuracy"]
    for row in rows["rows"]:
        value, low, high, mark = row["metrics"]["accuracy"]
        assert value == pytest.approx(means[(row["scenario"], row["dataset"], row["condition"], row["method"])])
        assert (low, high, mark, row["complete"]) == (None, None, None, False)


def test_a_run_is_followed_while_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "a", {"knn": 0.5}, cells=9)
    board = Board([tmp_path])
    board.settle()
    (about,) = board.now.runs
    assert (about["planned"], about["ok"], about["failed"], about["skipped"]) == (9, 3, 0, 0)
    assert about["left"] is not None
    before = board.now.number
    looked(board)
    assert board.now.number == before, "nothing changed, and yet all was read again"
    read: list[str] = []
    from bench.view import reading

    whole = reading.read_files

    def noted(folder, paths):  # type: ignore[no-untyped-def]
        read.extend(path.name for path in paths)
        return whole(folder, paths)

    monkeypatch.setattr(reading, "read_files", noted)
    make_run(tmp_path / "a", {"mml": 0.8}, cells=9)
    failed = {"status": "failed", "reason": "a\nb", "error_type": "ValueError"}
    make_run(tmp_path / "b", {"gda": 0.7}, run="later", cells=3, **failed)  # type: ignore[arg-type]
    looked(board)
    old = {"made-knn-0", "made-knn-1", "made-knn-2"}
    assert len(read) == 6
    assert not [name for name in read if any(name.startswith(one) for one in old)]
    assert [one["ok"] for one in board.now.runs] == [6, 0]
    failures = board.now.runs[1]["unanswered"]
    assert board.now.runs[1]["failed"] == 3
    assert {(f["method"], f["error_type"], f["reason"]) for f in failures} == {("gda", "ValueError", "a\\nb")}
    assert {row["method"] for row in board.leaderboard()["rows"]} == {"knn", "mml"}


def test_what_is_wrong_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make_run(tmp_path / name, {f"knn-{name}": 0.5}, run=name)
    board = Board([tmp_path])
    assert board.settle().messages == []
    shutil.rmtree(tmp_path / "a")
    next((tmp_path / "b" / "records").iterdir()).write_bytes(b"PAR1")
    looked(board)
    said = "; ".join(board.now.messages)
    assert "run a is gone" in said
    assert "cannot be read" in said
    assert {row["method"] for row in board.leaderboard()["rows"]} == {"knn-c"}
    shutil.rmtree(tmp_path / "b")
    shutil.rmtree(tmp_path / "c")
    looked(board)
    assert len(board.now.messages) == 3
    assert board.leaderboard()["rows"] == []


def test_a_file_that_goes_while_it_is_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / name, {f"knn-{name}": 0.5}, run=name)
    board, read = Board([tmp_path]), RecordReader.__call__

    def gone(self: RecordReader, folder: Path) -> object:
        if folder.name == "a":
            shutil.rmtree(folder)
        return read(self, folder)

    monkeypatch.setattr(RecordReader, "__call__", gone)
    assert board.settle().messages == []
    assert {row["method"] for row in board.leaderboard()["rows"]} == {"knn-b"}
    monkeypatch.undo()
    looked(board)
    assert board.now.messages == ["the run a is gone: its folder was removed or renamed"]


def test_predictions_that_contradict_their_record_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", {"knn": 0.5, "mml": 0.7})
    paths = sorted((run / "predictions").iterdir())
    shutil.copy(paths[0], tmp_path / "kept")
    frame = pd.read_parquet(paths[0])
    frame["prediction"] = frame["label"]
    frame.to_parquet(paths[0])
    board = Board([run])
    assert any("no intervals" in message and "right" in message for message in board.settle().messages)
    assert len(board.leaderboard()["rows"]) == 2


def test_folders_without_runs_and_runs_without_cells(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no run in .*; make one with `bench run`"):
        Board([tmp_path])
    Store(tmp_path / "a").open({"run": "abc", "cells": 4})
    board = Board([tmp_path])
    assert board.settle().messages == ["no cell has an answer yet; this page shows results as soon as there are some"]
    assert board.now.runs[0]["planned"] == 4
    (tmp_path / "a" / "run.json").write_text(json.dumps({"run": "abc", "schema": SCHEMA + 1}))
    Store(tmp_path / "b").open({"run": "b", "cells": 1})
    looked(board)
    assert "newer version" in board.now.messages[0]


def test_records_that_grow_in_many_steps_stay_whole(tmp_path: Path) -> None:
    reader, folder = RecordReader(), tmp_path / "a"
    for n in range(20):
        make_run(folder, {f"m{n:02}": 0.5}, seeds=(0,), sessions=1)
        assert sum(map(len, reader(folder))) == n + 1
    (folder / "records" / sorted(p.name for p in (folder / "records").iterdir())[0]).unlink()
    assert sum(map(len, reader(folder))) == 19


def test_curves_are_the_reports(run: Path) -> None:
    analysis = Analysis.of([run])
    board = Board([run])
    key = next(iter(board.settle().rows))
    by_session, by_shots = curves_of(board, key)
    assert (by_session["x"], by_shots["x"]) == ("session", "shots")
    sessions = analysis.sessions
    for one in by_session["series"]:
        mine = sessions[(sessions[["scenario", "dataset", "condition"]] == list(key)).all(axis=1)]
        mine = mine[mine["method"] == one["method"]].groupby("session")["accuracy"].mean()
        assert [p[1] for p in one["points"]] == pytest.approx(mine.to_list())
        assert all(p[2] <= p[1] <= p[3] for p in one["points"])
    assert [p[0] for p in by_shots["series"][0]["points"]] == [1, 4]
