"""The speed of the view: 1000 cells and a million predictions in two seconds, an edit of a memory in one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.results.consolidated import write_joined
from bench.runner.api import run
from bench.view.board import Board
from bench.view.leaderboard import Where
from bench.view.questions import Questions
from tests.speed.quiet import QUIET, needs_quiet
from tests.statistics.runs import make_run

METHODS = {f"method-{n}": 0.4 + n / 20 for n in range(10 if QUIET else 2)}
SHOTS = tuple({"shots": n} for n in ((1, 2, 4, 8) if QUIET else (1,)))
SEEDS = tuple(range(5 if QUIET else 1))
DATASETS = ("pets", "flowers", "cars", "food", "sun")[: None if QUIET else 1]


def test_a_large_run_is_shown_at_once(tmp_path: Path) -> None:
    queries = 100 if QUIET else 5
    made = make_run(
        tmp_path / "a", METHODS, datasets=DATASETS, seeds=SEEDS, sessions=1, per=10, queries=queries, conditions=SHOTS
    )
    write_joined(made)
    start = time.perf_counter()
    board = Board([made])
    board.look()
    while not board.now.number:
        time.sleep(0.005)
    rows = board.leaderboard()["rows"]
    took = time.perf_counter() - start
    assert len(rows) == len(METHODS) * len(DATASETS) * len(SHOTS)
    assert all(row["metrics"]["accuracy"][0] is not None for row in rows)
    assert took < 2 or not QUIET, f"{took:.2f} s"


@needs_quiet
@pytest.mark.parametrize("method", ["knn", "protonet", "slda", "gda", "simplecil", "zero-shot"])
def test_an_edit_is_answered_within_a_second(method: str, tmp_path: Path) -> None:
    run("incremental", [method, "knn:k=3"], "glyphs", 1, out=tmp_path, device="cpu")
    board = Board([next(tmp_path.iterdir())])
    at = Where(next(iter(board.settle().rows)), 0)
    questions = Questions(board)
    shown = next(m["method"] for m in questions.scene(at)["methods"] if m["method"].startswith(method))
    query = next(iter(questions._asked(at)[0][0].recorded))[1]
    near = questions.answer(at, query, "knn(k=3)", [], {})["neighbours"]
    questions.answer(at, query, shown, [], {})
    start = time.perf_counter()
    after = questions.answer(at, query, shown, [near[0]["item"]], {})["after"]
    took = time.perf_counter() - start
    assert after is not None
    assert took < 1, f"{took:.2f} s"
