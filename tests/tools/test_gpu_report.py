"""``make gpu`` without a card: how sections are run and told, on made-up sections and a made-up clock."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench.utils.errors import BenchError
from tools.gpu import __main__ as command
from tools.gpu import alone
from tools.gpu.alone import perform_alone
from tools.gpu.card import Card
from tools.gpu.page import BEGIN, END, check, put, report, table
from tools.gpu.running import Failed, Outcome, perform_here, run_sections
from tools.gpu.section import Deadline, Row, Section
from tools.gpu.sections import SECTIONS

CARD = Card("Made-up 9000, 48 GiB", "1.2", "2.0 for CUDA 12", "abc", "2031-02-03 04:05 UTC")


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def section(name: str, *found: Row, share: float = 1.0, error: Exception | None = None) -> Section:
    def rows(device: str, deadline: Deadline) -> Iterator[Row]:
        yield from found
        if error is not None:
            raise error

    return Section(name, name.title(), share, rows)


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.section.name: outcome.state for outcome in outcomes}


def test_a_section_that_fails_is_told_with_its_reason_and_the_rest_goes_on() -> None:
    sections = [
        section("raises", Row({"a": 1}), error=RuntimeError("CUDA error: an illegal\nmemory access")),
        section("refuses", error=BenchError("do this instead")),
        section("differs", Row({"a": 1}), Row({"a": 2}, "2 is not 1"), Row({"a": 3}, "3 is not 1")),
        section("nothing"),
        section("well", Row({"a": 1})),
    ]
    outcomes = run_sections(sections, "cpu", seconds=60, perform=perform_here)
    assert states(outcomes) == dict.fromkeys(("raises", "refuses", "differs", "nothing"), "failed") | {"well": "passed"}
    assert [outcome.reason for outcome in outcomes] == [
        "RuntimeError: CUDA error: an illegal memory access",
        "do this instead",
        "2 is not 1 (and 1 more)",
        "it measured nothing",
        "",
    ]
    assert outcomes[0].rows == (Row({"a": 1}),), "what was found before the failure stays"


def test_time_is_shared_and_what_one_leaves_over_goes_to_the_others() -> None:
    clock, given = Clock(), dict[str, float]()
    takes = {"a": 10.0, "b": 60.0, "c": 56.0, "d": 0.0}

    def perform(one: Section, device: str, seconds: float, keep: Callable[[Row], None]) -> None:
        given[one.name] = seconds
        clock.time += takes[one.name]
        keep(Row({"a": 1}))

    sections = [section(name, share=share) for name, share in zip("abcd", (2, 1, 1, 1), strict=True)]
    outcomes = run_sections(sections, "cpu", seconds=130, perform=perform, now=clock)
    # 130 * 2 / 5; (130 - 10) / 3; (130 - 70) / 2; nothing worth beginning for.
    assert given == {"a": 52.0, "b": 40.0, "c": 30.0}
    assert states(outcomes) == {"a": "passed", "b": "passed", "c": "passed", "d": "not run"}
    assert [outcome.seconds for outcome in outcomes] == [10.0, 60.0, 56.0, 0.0]
    assert outcomes[-1].reason == "130 s were over; give more --minutes"


def test_a_deadline_ends_a_list_with_what_is_left_of_it() -> None:
    clock = Clock()
    found = []
    for name in Deadline(5, clock).each(["a", "b", "c", "d"]):
        found.append(name)
        clock.time += 3
    assert found[:2] == ["a", "b"]
    (last,) = found[2:]
    assert isinstance(last, Row)
    assert last.problem == "out of time with 2 of 4 left: c, d; give more --minutes"


def test_rows_of_a_process_that_died_are_kept() -> None:
    told, kept = '{"cells": {"a": 1}, "problem": ""}\n{"cells": {"a": 2}, "problem": "odd"}\n{"cells": {"a', list[Row]()
    with pytest.raises(Failed, match="status -11"):
        alone._read(told, -11, 30, kept.append)
    assert kept == [Row({"a": 1}), Row({"a": 2}, "odd")]
    with pytest.raises(Failed, match="ended after its 30 s"):
        alone._read(told, None, 30, kept.append)
    with pytest.raises(Failed, match="no room"):
        alone._read('{"failed": "no room"}\n', 1, 30, kept.append)
    assert alone._read('{"joules": 2.5}\n', 0, 30, kept.append) == 2.5


def test_a_section_is_ended_when_its_time_is_over() -> None:
    # No process has loaded torch by then.
    with pytest.raises(Failed, match="ended after its 0 s"):
        perform_alone(SECTIONS[0], "cpu", 0.1, lambda row: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is about a machine without a card")
def test_a_section_that_cannot_use_its_device_says_why() -> None:
    (section,) = (one for one in SECTIONS if one.name == "energy")
    with pytest.raises(Failed, match=r"^(Runtime|Assertion)Error: .*(NVIDIA|CUDA)"):
        perform_alone(section, "cuda", 120, lambda row: None)


def test_the_page_keeps_what_stands_around_the_report(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(f"# Title\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nbelow\n")
    outcomes = [
        Outcome(
            section("well"), "passed", 1.25, (Row({"what": "a|b", "n": 1234567, "x": 0.000123456, "y": None}),), 5.0
        ),
        Outcome(section("ill"), "failed", 2.0, (Row({"n": 1}, "it is\n1"),), reason="it is\n1"),
        Outcome(section("late"), "not run", 0.0, reason="60 s were over"),
    ]
    put(page, report(CARD, outcomes, minutes=1))
    text = page.read_text()
    assert text.startswith(
        f"# Title\n\nby hand\n\n{BEGIN}\n\n**Made-up 9000, 48 GiB** · driver 1.2 · torch 2.0 for CUDA 12"
    )
    assert text.endswith(f"{END}\n\nbelow\n")
    assert "old" not in text
    assert "2031-02-03" in text
    assert "3 sections: 1 passed, 1 failed, 1 not run; 3 s of 60 s." in text
    assert "| a\\|b | 1,234,567 | 0.0001235 |  |" in text
    assert "**Failed:** it is 1" in text
    assert "### Late\n\nNot run: 60 s were over." in text
    put(page, "new\n")
    assert page.read_text() == f"# Title\n\nby hand\n\n{BEGIN}\n\nnew\n\n{END}\n\nbelow\n"


def test_a_page_without_a_place_for_the_report_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "notes.md"
    page.write_text("mine\n")
    for refuse in (lambda: check(page), lambda: put(page, "new")):
        with pytest.raises(BenchError, match="has no place for a report; give another --out"):
            refuse()
    with pytest.raises(BenchError, match="is a folder"):
        check(tmp_path)
    assert page.read_text() == "mine\n"
    put(tmp_path / "other" / "new.md", "found\n")
    check(tmp_path / "other" / "new.md")
    assert "found" in (tmp_path / "other" / "new.md").read_text()


def test_a_table_has_the_columns_of_all_its_rows() -> None:
    rows = [Row({"a": "x", "b": 2}), Row({"a": "y", "c": 0.5}, "odd")]
    assert table(rows) == [
        "| a | b | c | problem |",
        "| --- | ---: | ---: | --- |",
        "| x | 2 |  |  |",
        "| y |  | 0.5 | odd |",
    ]
    assert table([]) == []


def test_the_page_of_the_documentation_has_a_place_for_the_report_and_says_what_each_section_does() -> None:
    check(command.PAGE)
    text = command.PAGE.read_text()
    assert [name for name in (s.name for s in SECTIONS) if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "torch sees no CUDA device"),
        (["--device", "cpu"], "docs/gpu.md holds whole results of a GPU; give --out FILE"),
        (
            ["--device", "cpu", "--sections", "tests,swep", "--out", "x.md"],
            "unknown section 'swep'; did you mean",
        ),
        (["--device", "cpu", "--out", "notes.md"], "notes.md has no place for a report"),
    ],
)
def test_what_cannot_be_begun_is_said_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("notes.md").write_text("mine\n")
    before = command.PAGE.read_bytes()
    done = CliRunner().invoke(command.main, arguments)
    assert done.exit_code == 2
    assert done.output.startswith(f"gpu: {said}")
    assert done.output.count("\n") == 1
    assert command.PAGE.read_bytes() == before
    assert Path("notes.md").read_text() == "mine\n"


def test_a_driver_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old\n(found version 9000)", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    done = CliRunner().invoke(command.main, [])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert "no CUDA device (The NVIDIA driver on your system is too old (found version 9000)); run" in done.output


@pytest.mark.parametrize(("problem", "status"), [("", 0), ("odd", 1)])
def test_the_status_says_whether_all_sections_passed(
    problem: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SECTIONS", (section("one", Row({"a": 1}, problem)), section("two", Row({"b": 7}))))
    monkeypatch.setattr(command, "perform_alone", perform_here)
    done = CliRunner().invoke(command.main, ["--device", "cpu", "--out", str(tmp_path / "gpu.md")])
    assert done.exit_code == status, done.output
    assert "### Two\n\n| b |\n| ---: |\n| 7 |" in (tmp_path / "gpu.md").read_text()
    assert ("odd" in done.output) == bool(problem)


def test_a_section_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--sections", "energy", "--out", str(tmp_path / "gpu.md")]
    done = CliRunner().invoke(command.main, arguments)
    assert done.exit_code == 0, done.output
    assert "a CPU has no such counter" in (tmp_path / "gpu.md").read_text()
