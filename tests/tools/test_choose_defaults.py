"""The protocol by which defaults are chosen, and that defaults are what it chose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.core.registry import METHODS
from bench.results.selection_packs import SELECTION_PACKS
from bench.utils.errors import BenchError
from tools.choose_defaults import protocol as declared
from tools.choose_defaults.__main__ import PAGE, main
from tools.choose_defaults.measure import Tried, best, measure
from tools.choose_defaults.page import block, blocks, chosen, put, written
from tools.choose_defaults.protocol import Candidates, Protocol, Setting, candidates, is_default, names, protocol

SMALL = Protocol(
    tries=2,
    seeds=1,
    data={"digits": {}},
    tasks={"shots": Setting(shows="few", scenario="few-to-many-shot", set={"shots": [1, 2], "memory": "none"})},
)


def tried(*means: float) -> list[Tried]:
    return [Tried({"k": place + 1}, {("shots", "digits"): mean}) for place, mean in enumerate(means)]


@pytest.mark.parametrize("name", names())
def test_every_method_has_as_many_tries(name: str) -> None:
    assert len(candidates(name, protocol()).candidates) == protocol().tries


@pytest.mark.parametrize("name", sorted(blocks(PAGE.read_text())))
def test_a_default_is_what_the_protocol_chose_unless_the_page_says_otherwise(name: str) -> None:
    part = blocks(PAGE.read_text())[name]
    of = candidates(name, protocol())
    (winner,) = [values for values in of.candidates if written(values) == chosen(part)]
    assert is_default(name, winner) == ("The default differs" not in part)


def test_the_page_tells_of_no_method_without_candidates() -> None:
    assert set(blocks(PAGE.read_text())) <= set(names())


def test_choices_are_made_on_the_data_sets_that_reports_do_not_rank_on() -> None:
    assert set(protocol().data) == SELECTION_PACKS


def test_candidates_are_measured_and_the_first_of_the_best_is_chosen() -> None:
    of = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 32, "vote": "majority"}))
    one, many = measure("knn", of, SMALL)
    assert one.mean > many.mean
    assert set(one.accuracy) == {("shots", "digits")}
    assert best([one, many]) == 0
    assert best(tried(1.0, 3.0, 3.0)) == 1


def test_a_method_may_have_fewer_seeds_and_says_so() -> None:
    few = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 2}), seeds=1)
    found = measure("knn", few, replace(SMALL, seeds=2))
    assert found == measure("knn", replace(few, seeds=None), SMALL)
    assert "A test. Tried with one seed.\n" in block("knn", few, found)


def test_what_a_folder_holds_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 32, "vote": "majority"}))
    first = measure("knn", of, SMALL, tmp_path)

    def fails(*_: object, **__: object) -> None:
        raise ValueError("was to be run once")

    monkeypatch.setattr(METHODS.get("knn").cls, "score", fails)
    assert measure("knn", of, SMALL, tmp_path) == first


def test_what_is_fixed_holds_for_every_candidate_and_is_said_once() -> None:
    given = {"tasks": ("shots",), "why": "A test."}
    every = measure("knn", Candidates(**given, candidates=({"k": 32, "vote": "majority"}, {"k": 1})), SMALL)
    of = Candidates(**given, candidates=({"k": 32}, {"k": 1}), fixed={"vote": "majority"})
    found = measure("knn", of, SMALL)
    assert [one.accuracy for one in found] == [one.accuracy for one in every]
    text = block("knn", of, found)
    assert text.count("vote=majority") == 1
    assert chosen(text) == "k=1"


def test_a_block_is_replaced_and_others_stay() -> None:
    of = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 2}))
    first = put("", SMALL, {"knn": block("knn", of, tried(1.0, 2.0)), "a": "## a\n\nkept\n"})
    again = put(first, SMALL, {"knn": block("knn", of, tried(2.0, 1.0))})
    assert (chosen(blocks(first)["knn"]), chosen(blocks(again)["knn"])) == ("k=2", "k=1")
    assert blocks(again)["a"] == blocks(first)["a"] == "## a\n\nkept\n"
    assert put(again, SMALL, {}) == again


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tasks: [shots]\nwhy: x\ncandidates: [{k: 1}]\n", "has 1 candidates; every method has 2 tries"),
        ("tasks: [shots]\nwhy: x\ncandidates: [{k: 1}, {k: 1}]\n", "a candidate twice"),
        ("tasks: [shots]\nwhy: x\ncandidates: [{k: 1}, {kk: 1}]\n", "no parameter 'kk'"),
        ("tasks: [shots]\nwhy: x\nfixed: {kk: 1}\ncandidates: [{k: 1}, {k: 2}]\n", "no parameter 'kk'"),
        ("tasks: [shoots]\nwhy: x\ncandidates: [{k: 1}, {k: 2}]\n", "not shoots"),
        ("tasks: shots\n", "knn.yaml"),
        ("tasks: [", "knn.yaml"),
    ],
)
def test_a_faulty_file_is_one_line(content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "knn.yaml").write_text(content)
    monkeypatch.setattr(declared, "HERE", tmp_path)
    with pytest.raises(BenchError, match=message) as caught:
        candidates("knn", SMALL)
    assert "\n" not in str(caught.value)


def test_unknown_methods_and_splits_are_one_line() -> None:
    found = CliRunner().invoke(main, ["--methods", "nothing"])
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    of = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 2}))
    with pytest.raises(BenchError, match="no split 'shot3'"):
        measure("knn", of, replace(SMALL, data={"digits": {"support": ("shot3",)}}))


def test_what_fails_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(METHODS.get("knn").cls, "score", fails)
    of = Candidates(tasks=("shots",), why="A test.", candidates=({"k": 1}, {"k": 2}))
    with pytest.warns(RuntimeWarning), pytest.raises(BenchError, match="failed on digits"):
        measure("knn", of, SMALL)
