"""Two methods side by side: their own predictions, filtered and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports.analysis import Analysis
from bench.results.run_folder import read_predictions, read_records
from bench.utils.errors import BenchError
from bench.view.board import Board
from bench.view.pairs import PAGE, SHOWN, pair_of
from tests.statistics.runs import make_run

METHODS = {"knn": 0.5, "mml": 0.8, "gda": 0.6}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"class_names": {"made": [f"kind {n}" for n in range(6)]}}
    return make_run(tmp_path_factory.mktemp("run") / "a", METHODS, manifest=names)


@pytest.fixture(scope="module")
def board(run: Path) -> Board:
    found = Board([run])
    found.settle()
    return found


@pytest.fixture(scope="module")
def key(board: Board) -> tuple[str, str, str]:
    return next(iter(board.now.rows))


def test_rows_are_the_predictions_of_both(board: Board, key: tuple[str, str, str], run: Path) -> None:
    records = read_records(run).drop_duplicates("cell")
    cells = {str(r["method"]): r["cell"] for r in records[records["seed"] == 1].to_dict("records")}
    told = read_predictions(run, list(cells.values()))
    told = told[told["session"] == 2].set_index(["cell", "query"])
    found = pair_of(board, key, "mml", "knn", seed=1, which="all")
    assert found["total"] == 120
    assert len(found["rows"]) == PAGE
    rest = [row for page in (1, 2) for row in pair_of(board, key, "mml", "knn", seed=1, which="all", page=page)["rows"]]
    for row in found["rows"] + rest:
        for side, method in (("a", "mml"), ("b", "knn")):
            one = told.loc[(cells[method], row["id"])]
            assert row[side]["answer"] == f"kind {one['prediction']}"
            assert row[side]["right"] == (one["prediction"] == one["label"])
            assert row[side]["confidence"] == pytest.approx(one["confidence"])
    assert len({row["id"] for row in found["rows"] + rest}) == 120


def test_filters_hold_what_they_say(board: Board, key: tuple[str, str, str]) -> None:
    holds = {
        "all": lambda a, b: True,
        "disagree": lambda a, b: a["answer"] != b["answer"],
        "only a": lambda a, b: a["right"] and not b["right"],
        "only b": lambda a, b: b["right"] and not a["right"],
        "both wrong": lambda a, b: not a["right"] and not b["right"],
        "both right": lambda a, b: a["right"] and b["right"],
    }
    assert set(holds) == set(SHOWN)
    every = [r for p in range(3) for r in pair_of(board, key, "knn", "gda", seed=0, which="all", page=p)["rows"]]
    for which, test in holds.items():
        found = pair_of(board, key, "knn", "gda", seed=0, which=which)
        expected = [row["id"] for row in every if test(row["a"], row["b"])]
        assert found["counts"][which] == found["total"] == len(expected) > 0
        assert [row["id"] for row in found["rows"]] == expected[:PAGE]
    named = pair_of(board, key, "knn", "gda", seed=0, which="all", text="KIND 3")
    assert {row["label"] for row in named["rows"]} == {"kind 3"}
    assert pair_of(board, key, "knn", "gda", seed=0, which="all", text="q4-1")["total"] == 11


@pytest.mark.parametrize(("a", "b"), [("mml", "knn"), ("knn", "mml")])
def test_the_verdict_is_of_a_less_b(board: Board, key: tuple[str, str, str], run: Path, a: str, b: str) -> None:
    verdict = pair_of(board, key, a, b, seed=None, which="all")["verdict"]
    sign = 1 if a == "mml" else -1
    assert verdict["verdict"] == ("better" if sign > 0 else "worse")
    (expected,) = [c for c in Analysis.of([run]).comparisons[0] if {c.a, c.b} == {"knn", "mml"}]
    flip = sign if expected.a == "mml" else -sign
    assert verdict["difference"] == pytest.approx(flip * expected.difference.mean)
    ends = sorted(flip * end for end in (expected.difference.low, expected.difference.high))
    assert [verdict["low"], verdict["high"]] == pytest.approx(ends)


def test_what_is_not_there_is_refused(board: Board, key: tuple[str, str, str]) -> None:
    for arguments, why in (
        ((key, "knm", "gda"), "did you mean 'knn'"),
        ((("incremental", "cars", key[2]), "knn", "gda"), "no such scenario"),
    ):
        with pytest.raises(BenchError, match=why):
            pair_of(board, *arguments, seed=None, which="all")  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="they have 0, 1, 2"):
        pair_of(board, key, "knn", "gda", seed=7, which="all")
