"""Questions about single queries: the answers of `bench explain`, and messages for what cannot be asked."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from bench.explain.explain import Which, explain
from bench.runner.api import run
from bench.utils.errors import BenchError
from bench.view.board import Board
from bench.view.leaderboard import Where
from bench.view.questions import Questions
from tests import toy

METHODS = ["knn:k=5", "protonet", "simplecil", "tda"]
QUERY = "test/11"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run("few-to-many-shot", METHODS, toy.dataset(5), 2, set={"few-to-many-shot.shots": [1, 4]}, out=out, device="cpu")
    return next(out.iterdir())


@pytest.fixture(scope="module")
def board(made: Path) -> Board:
    found = Board([made])
    assert found.settle().messages == []
    return found


@pytest.fixture(scope="module")
def questions(board: Board) -> Questions:
    return Questions(board, data=toy.dataset(5))


@pytest.fixture(scope="module")
def at(board: Board) -> Where:
    return Where(next(key for key in board.now.rows if '"shots": 4' in key[2]), 1)


def test_a_scene_lists_who_can_be_asked_and_why_others_cannot(questions: Questions, at: Where) -> None:
    scene = questions.scene(at)
    assert {one["method"] for one in scene["methods"]} == {"knn(k=5)", "protonet", "simplecil"}
    assert scene["methods"][0]["retrieves"]
    assert any("other queries too (it sees the stream)" in why for why in scene["without"].values())
    assert scene["classes"] == [f"class {n}" for n in range(5)]
    assert scene["warnings"] == []


def test_answers_are_those_of_bench_explain(questions: Questions, at: Where, made: Path) -> None:
    which = Which(seed=1, condition={"shots": "4"}, methods=("knn(k=5)", "protonet", "simplecil"))
    edits = {"exclude": ["train/13"], "relabel": ["train/2=class 3"]}
    (plain,) = explain(made, QUERY, which, data=toy.dataset(5))
    near = plain.explained[[e.method for e in plain.explained].index("knn(k=5)")].before.evidence.neighbours  # type: ignore[union-attr]
    first, second = near[0].item, near[1].item
    edits = {"exclude": [first], "relabel": [f"{second}=class 3"]}
    (case,) = explain(made, QUERY, which, **edits, data=toy.dataset(5))  # type: ignore[arg-type]
    for one in case.explained:
        found = questions.answer(at, QUERY, one.method, [first], {second: "class 3"})
        assert found["warning"] == ""
        assert found["label"] == case.name_of(case.label)
        assert one.after is not None
        for said, answer in ((found["before"], one.before), (found["after"], one.after)):
            assert said["answer"] == case.name_of(answer.prediction)
            assert said["confidence"] == pytest.approx(answer.confidence)
            assert said["right"] == (answer.prediction == case.label)
            assert said["scores"] == [[case.name_of(c), v] for c, v in answer.scores]
        if one.method == "knn(k=5)":
            assert [n["item"] for n in found["neighbours"]][:2] == [first, second]
            after = {n["item"]: n["class"] for n in found["neighbours_after"]}
            assert first not in after
            assert after[second] == "class 3"
            assert sum(w for _, w in found["after"]["votes"]["image"]) == pytest.approx(
                sum(n.weight for n in one.after.evidence.neighbours)  # type: ignore[union-attr]
            )


def test_removals_come_with_the_certificate(questions: Questions, at: Where) -> None:
    found = questions.removals(at, QUERY, "knn(k=5)", [], {})
    assert found["certificate"]["remove"]["least"] <= len(found["together"])
    after = questions.answer(at, QUERY, "knn(k=5)", found["together"], {})
    assert after["after"]["answer"] == found["becomes"] != after["before"]["answer"]
    none = questions.removals(at, QUERY, "simplecil", [], {})
    assert none["certificate"]["remove"]["why"]


@pytest.mark.parametrize(
    ("query", "method", "exclude", "relabel", "why"),
    [
        ("test/x", "protonet", [], {}, "was not asked in session"),
        (QUERY, "protonot", [], {}, "did you mean 'protonet'"),
        (QUERY, "tda(stream)", [], {}, "rest on other queries"),
        (QUERY, "protonet", ["train/x"], {}, "no support or memory item"),
        (QUERY, "protonet", [], {"train/2": "class 9"}, "no class 'class 9'"),
        (QUERY, "protonet", ["train/2"], {"train/2": "class 1"}, "both left out and relabelled"),
    ],
)
def test_what_is_not_there_is_one_line(
    questions: Questions, at: Where, query: str, method: str, exclude: list[str], relabel: dict[str, str], why: str
) -> None:
    with pytest.raises(BenchError, match=why) as error:
        questions.answer(at, query, method, exclude, relabel)
    assert "\n" not in str(error.value)


def test_features_have_no_pictures_and_digits_have(questions: Questions, board: Board, tmp_path: Path) -> None:
    key = next(iter(board.now.rows))
    assert questions.pictures(key, [QUERY, "nothing"]) == {QUERY: None, "nothing": None}
    run("incremental", ["protonet"], "digits", 1, out=tmp_path, device="cpu")
    other = Board([next(tmp_path.iterdir())])
    digits = next(iter(other.settle().rows))
    found = Questions(other).pictures(digits, ["digit/3"])["digit/3"]
    assert found is not None
    assert base64.b64decode(found).startswith(b"\x89PNG")


def test_a_data_set_that_is_gone_or_another_is_said(board: Board, at: Where) -> None:
    with pytest.raises(BenchError, match="--data"):
        Questions(board).scene(at)
    with pytest.raises(BenchError, match="not what the run was made with"):
        Questions(board, data=toy.dataset(6)).scene(at)


def test_a_run_that_was_removed_is_said(made: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(made, copied)
    board = Board([copied])
    key = next(iter(board.settle().rows))
    shutil.rmtree(copied)
    with pytest.raises(BenchError, match="removed or renamed"):
        Questions(board, data=toy.dataset(5)).scene(Where(key, 0))
