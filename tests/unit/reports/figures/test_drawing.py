"""Figures are the same however many processes draw them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.reports.figures import drawing
from bench.reports.figures.drawing import draw_all
from bench.reports.figures.registry import FigureKind
from bench.reports.report import build
from bench.reports.utils.note import Note
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

ANALYSIS: Any = SimpleNamespace(galleries=0)


def kinds(monkeypatch: pytest.MonkeyPatch, *draws: Any) -> None:
    made = [FigureKind(name=f"kind-{n}", section="further", draw=draw) for n, draw in enumerate(draws)]
    monkeypatch.setattr(drawing, "FIGURES", made)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_of_a_report_are_the_same_bytes(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"knn": 0.5, "mml": 0.8}, sessions=2)
    build([tmp_path / "run"], tmp_path / "one")
    # A process of its own, since a fork of one with threads is not what the command makes.
    code = (
        "import sys; from pathlib import Path; from bench.reports.report import build; "
        "build([Path('run')], Path('three'), processes=3)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert len(files(tmp_path / "one")) > 10
    assert files(tmp_path / "three") == files(tmp_path / "one")


def test_another_process_draws_what_nobody_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    met = multiprocessing.get_context("fork").Barrier(2)

    def draw(analysis: Any) -> list[Note]:
        met.wait(30)  # one process alone would wait in vain
        return [Note(str(os.getpid()))]

    kinds(monkeypatch, draw, draw)
    found = draw_all(ANALYSIS, processes=2)
    assert list(found) == ["kind-0", "kind-1"]
    assert len({note.text for notes in found.values() for note in notes}) == 2
    assert not multiprocessing.active_children()


def test_parts_of_one_kind_are_drawn_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    met = multiprocessing.get_context("fork").Barrier(2)

    def draw(analysis: Any, number: int) -> list[Note]:
        met.wait(30)  # one process alone would wait in vain
        return [Note(f"{number} {os.getpid()}")]

    made = FigureKind(name="kind", section="further", draw=draw, each=lambda analysis: range(6))
    monkeypatch.setattr(drawing, "FIGURES", [made])
    words = [note.text.split() for note in draw_all(ANALYSIS, processes=2)["kind"]]
    assert [number for number, _ in words] == [*"012345"]
    assert len({process for _, process in words}) == 2


def test_more_parts_than_a_pipe_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_MOST", 4)
    made = FigureKind(
        name="kind", section="further", draw=lambda analysis, n: [Note(str(n))], each=lambda analysis: range(11)
    )
    monkeypatch.setattr(drawing, "FIGURES", [made])
    assert [note.text for note in draw_all(ANALYSIS, processes=2)["kind"]] == [str(n) for n in range(11)]


@pytest.mark.parametrize("how", ["raises", "dies"])
def test_what_another_process_fails_with_is_drawn_here(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def draw(analysis: Any) -> list[Note]:
        if os.getpid() != here:
            if how == "dies":
                os._exit(9)
            raise ValueError("elsewhere")
        return [Note("here")]

    kinds(monkeypatch, *[draw] * 6)
    assert [note.text for notes in draw_all(ANALYSIS, processes=3).values() for note in notes] == ["here"] * 6


def test_an_error_ends_it_with_nobody_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(analysis: Any) -> list[Note]:
        raise BenchError("no such thing")

    kinds(monkeypatch, *[fails] * 3)
    for processes in (1, 2):
        with pytest.raises(BenchError, match="no such thing"):
            draw_all(ANALYSIS, processes=processes)
        assert not multiprocessing.active_children()
