"""Each section of ``make gpu`` on the CPU, in a tiny size: its numbers, and that it finds what does not hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.task import Episode
from bench.data.glyphs.dataset import Size
from bench.encoders import load_encoder
from bench.runner.evaluate import Outcome
from tools.gpu import (
    ceilings,
    draws,
    encoder,
    energy,
    every_method,
    marked,
    precision,
    published,
    sweep,
)
from tools.gpu.section import Deadline, Row

TINY = Size(seen=3, validation=2, unseen=3, support=2, query=2, held_out=1, images=2, sentences=2)


def collect(rows: Iterator[Row]) -> dict[str, Row]:
    """Return rows by the value of their first column."""
    return {str(next(iter(row.cells.values()))): row for row in rows}


def number(row: Row, column: str) -> float:
    value = row.cells[column]
    assert isinstance(value, (int, float))
    return float(value)


def soon() -> Deadline:
    return Deadline(300)


# -- tests -------------------------------------------------------------------------------------------------------------


def test_marked_tests_are_counted_and_those_that_fail_are_named(tmp_path: Path) -> None:
    (tmp_path / "test_made_up.py").write_text(
        "import pytest\n"
        "gpu = pytest.mark.gpu\n"
        "@gpu\ndef test_well(): pass\n"
        "@gpu\ndef test_ill(): assert 1 == 2\n"
        "@gpu\n@pytest.mark.skip(reason='no second card')\ndef test_not(): pass\n"
        "def test_other(): assert False\n"
    )
    counted, *told = marked.rows("cpu", soon(), folder=tmp_path)
    assert [counted.cells[name] for name in ("passed", "failed", "skipped")] == [1, 1, 1]
    problems = [row.problem for row in told]
    assert [bool(problem) for problem in problems] == [True, False]
    assert "test_ill: assert 1 == 2" in problems[0]
    assert "no second card" in str(told[1].cells["why"])


def test_no_test_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "test_made_up.py").write_text("def test_other(): pass\n")
    (counted,) = marked.rows("cpu", soon(), folder=tmp_path)
    assert counted.problem == "no test passed"


def test_tests_that_take_too_long_are_ended(tmp_path: Path) -> None:
    (row,) = marked.rows("cpu", Deadline(0.05), folder=tmp_path)
    assert "pytest was not done" in row.problem


def test_what_ran_before_the_time_was_over_is_counted(tmp_path: Path) -> None:
    (tmp_path / "test_made_up.py").write_text(
        "import pathlib, time, pytest\n"
        "pytestmark = pytest.mark.gpu\n"
        "def test_well(): pass\n"
        "def test_long():\n"
        "    pathlib.Path(__file__).with_name('begun').touch()\n"
        "    time.sleep(300)\n"
    )

    class UntilItHasBegun(Deadline):
        @property
        def left(self) -> float:
            end = time.monotonic() + 120
            while not (tmp_path / "begun").exists() and time.monotonic() < end:
                time.sleep(0.05)
            return 0.05

    counted, *_ = marked.rows("cpu", UntilItHasBegun(3), folder=tmp_path)
    assert counted.cells["passed"] == 1
    assert counted.problem == "pytest was not done after 3 s; give more --minutes"


# -- methods -----------------------------------------------------------------------------------------------------------


def test_methods_agree_with_themselves() -> None:
    found = list(
        every_method.rows("cpu", soon(), scenarios=("incremental",), names=("knn", "slda", "reco"), size=TINY, epochs=1)
    )
    assert [row.cells["method"] for row in found] == ["knn", "slda", "reco"]
    assert [row.cells["other answers"] for row in found] == [0, 0, None]
    assert number(found[0], "queries") == 2 * sum(range(2, 9, 2)), "the queries of all sessions"
    assert "seen classes" in str(found[2].cells["remark"])
    assert not any(row.problem for row in found)


def test_a_method_that_answers_otherwise_or_fails_on_the_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = draws.answers

    def elsewhere(method: Any, episode: Episode, device: str) -> list[Outcome]:
        found = real(method, episode, "cpu")
        if device == "cpu":
            return found
        if method.name == "slda":
            raise RuntimeError("Expected all tensors to be on the same device")
        if method.name == "knn":
            return [replace(o, predictions=o.predictions + 1) for o in found]
        return [replace(o, confidences=o.confidences + 0.002) for o in found]

    monkeypatch.setattr(every_method, "answers", elsewhere)
    names = ("knn", "slda", "protonet", "rac")
    found = every_method.rows("other", soon(), scenarios=("incremental",), names=names, size=TINY, epochs=1)
    problems = {str(row.cells["method"]): row.problem for row in found}
    assert "answers differ" in problems["knn"]
    assert problems["slda"] == "slda in incremental: RuntimeError: Expected all tensors to be on the same device"
    assert problems["protonet"] == "protonet in incremental: confidences differ by 0.002 > 0.001"
    assert problems["rac"] == "", "an optimiser's steps multiply the differences of sums"


# -- the published profile ---------------------------------------------------------------------------------------------


def test_multiply_adds_are_the_published_ones() -> None:
    scale = published.Scale(images=1, shrunk=300, classes=10, training=32)
    found = list(published.rows("cpu", soon(), scale=scale))
    assert not any(row.problem for row in found)
    counted = {
        (str(row.cells["what"]), str(row.cells["held to"])): (number(row, "published"), number(row, "here"))
        for row in found
        if row.cells["here"] is not None
    }
    paper, here = counted["feature extraction", "1 %"]
    assert (paper, here) == (1129.9, pytest.approx(1129.9, rel=0.01))
    paper, here = counted["kNN retrieval", "1 %"]
    assert (paper, here) == (58.3, pytest.approx(58.3, rel=0.01))
    paper, here = counted["knowledge integration", "10 %"]
    # Two blocks of (10 + 2k) d^2 + 2 k d for each of 256 queries.
    exact = 256 * 2 * ((10 + 64) * 512**2 + 64 * 512) / 1e9
    assert (paper, here) == (10.7, pytest.approx(exact, rel=1e-6))
    # What is run: 12 d^2 + 2 k d a block, and 10 classes in both branches; beside it what is no product.
    folded = 256 * 2 * (12 * 512**2 + 64 * 512 + 10 * 512) / 1e9
    assert counted["knowledge integration", "shown only"][1] == pytest.approx(folded, rel=0.05)
    unmeasured = [row.cells["what"] for row in found if row.cells["here"] is None]
    assert unmeasured == ["training", "classifying 1000 classes"], "a CPU has no peaks of a card"


def test_the_published_search_implies_445_thousand_items() -> None:
    (search,) = (n for n in published.published("s4-5") if n.label == "kNN retrieval")
    assert published.implied_items(search) == 444_794


def test_other_multiply_adds_are_a_problem() -> None:
    (search,) = (n for n in published.published("s4-5") if n.label == "kNN retrieval")
    exact = 58.3e9 * 2 / 256
    assert not published._counted(search, exact * 1.009, 0.1, within=0.01).problem
    assert "beside 58.3 published" in published._counted(search, exact * 1.011, 0.1, within=0.01).problem
    assert not published._counted(search, exact * 2, 0.1).problem


# -- ceilings ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> draws.Made:
    return draws.Made.of(600, 5, 64, "cpu")


CEILINGS = ceilings.Scale(
    side=128, copied=1 << 20, items=600, queries=40, classes=5, dimension=64, k=4, training=64, batch=32
)


def test_work_is_charged_its_products_and_what_it_must_move(made: draws.Made) -> None:
    found = ceilings.search(made, CEILINGS)
    assert found.flops == 2 * 40 * 600 * 64
    assert found.moved == 4 * 64 * (40 + 600) + 40 * 4 * 12
    scored = ceilings.scoring(made, CEILINGS)
    assert scored.flops == 40 * 2 * 2 * (12 * 64**2 + 2 * 4 * 64 + 5 * 64)
    trained = ceilings.training(made, CEILINGS)
    forward = 32 * 2 * 2 * (12 * 64**2 + 2 * 4 * 64 + 5 * 64)
    # Backwards the same products twice, but for those whose operands take no gradient: neighbours, prototypes and the
    # features that come in.
    assert 2.5 * forward < trained.flops < 3 * forward
    assert min(work.seconds for work in (found, scored, trained)) > 0


def test_shares_of_the_ceilings() -> None:
    most = {"fp32_gflops": 200.0, "copy_gb_per_second": 10.0}
    row = ceilings._row(ceilings.Work("work", 50e9, 4e9, 0.5), most)
    assert row.cells == {
        "what": "work", "seconds": 0.5, "GFLOP/s": 100.0, "% of fp32": 50.0, "GB/s": 8.0, "% of copy": 80.0
    }  # fmt: skip
    assert not row.problem
    above = ceilings._row(ceilings.Work("work", 150e9, 4e9, 0.5), most)
    assert above.problem == "work is above its ceiling in % of fp32"


def test_the_ceilings_stand_before_the_work() -> None:
    found = list(ceilings.rows("cpu", soon(), scale=CEILINGS))
    assert [str(row.cells["what"]).split(",")[0] for row in found] == [
        "fp32 product", "bf16 product", "copy", "search", "MML", "MML"
    ]  # fmt: skip
    assert number(found[0], "GFLOP/s") > 0
    assert number(found[3], "% of fp32") == pytest.approx(
        100 * number(found[3], "GFLOP/s") / number(found[0], "GFLOP/s")
    )


# -- energy ------------------------------------------------------------------------------------------------------------


def test_watts_and_joules_of_products() -> None:
    counter = iter([0.0, 100.0, 101.0, 101.0, 109.0])
    found = collect(energy.rows("cpu", soon(), joules=lambda: next(counter), seconds=0.05, side=32))
    idle, busy = found["none"], found["fp32 products"]
    assert number(idle, "joules") == 1.0
    assert number(busy, "joules") == 8.0
    assert number(busy, "watts") == pytest.approx(8 / number(busy, "seconds"))
    assert number(busy, "joules / TFLOP") > 0
    assert idle.cells["joules / TFLOP"] is None
    assert not busy.problem


def test_a_counter_that_stands_still_is_a_problem_and_none_is_none() -> None:
    found = collect(energy.rows("cpu", soon(), joules=lambda: 5.0, seconds=0.02, side=32))
    assert "does not count" in found["fp32 products"].problem
    (row,) = energy.rows("cpu", soon(), joules=lambda: None)
    assert row.cells["joules"] is None
    assert not row.problem


# -- sweep -------------------------------------------------------------------------------------------------------------


def test_the_few_shot_table_has_every_shot_count_on_both_devices() -> None:
    found = collect(sweep.rows("cpu", soon(), names=("protonet", "reco"), size=TINY, shots=(1, 2)))
    row = found["protonet"]
    assert 50 < number(row, "1 shots, %") <= 100
    assert 50 < number(row, "2 shots, %") <= 100
    assert number(row, "largest difference, %") == 0
    assert number(row, "seconds") > 0
    assert "seen classes" in str(found["reco"].cells["remark"])
    assert not row.problem


def test_another_accuracy_and_a_failure_on_the_device_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sweep.run

    def elsewhere(scenario: str, names: list[str], *rest: Any, device: str, **more: Any) -> Any:
        if device == "other" and names == ["knn"]:
            raise RuntimeError("out of memory")
        found = real(scenario, names, *rest, device="cpu", **more)
        return found.assign(n_correct=0) if device == "other" else found

    monkeypatch.setattr(sweep, "run", elsewhere)
    found = collect(sweep.rows("other", soon(), names=("protonet", "knn"), size=TINY, shots=(1,)))
    assert "accuracy differs by" in found["protonet"].problem
    assert found["knn"].problem == "knn: RuntimeError: out of memory"


# -- encoder and precision ---------------------------------------------------------------------------------------------


def test_features_are_compared_with_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(encoder.rows("cpu", soon(), count=4, batches=(1, 4)))
    assert [(row.cells["what"], row.cells["batch"]) for row in found] == [
        ("images", 1), ("images", 4), ("texts", 1), ("texts", 4)
    ]  # fmt: skip
    assert not any(row.problem for row in found)

    def elsewhere(name: str, device: str) -> Any:
        return load_encoder(name, precision="fp32" if device == "cpu" else "bf16")

    monkeypatch.setattr(encoder, "load_encoder", elsewhere)
    rounded = list(encoder.rows("other", soon(), count=4, batches=(4,)))
    assert [bool(row.problem) for row in rounded] == [True, True]


def test_trainings_in_both_precisions_stand_side_by_side() -> None:
    (row, other) = precision.rows("cpu", soon(), names=("protonet", "rac", "reco"), size=TINY, epochs=2)
    assert row.cells["method"] == "rac", "of these only rac trains here"
    assert number(row, "confidence differs by") > 0, "bfloat16 rounds"
    assert number(row, "accuracy fp32, %") > 50
    assert number(row, "seconds bf16") > 0
    assert "seen classes" in str(other.cells["remark"])
