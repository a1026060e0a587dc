"""``bench report --formats``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.main import main
from tests.statistics.runs import make_run


def test_figures_are_written_as_what_is_named(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"knn": 0.5, "mml": 0.8}, seeds=(0,))
    out = tmp_path / "out"
    command = ["report", str(tmp_path / "run"), "--out", str(out), "--formats", "pdf, svg,pdf"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert {path.suffix for path in (out / "figures").iterdir()} == {".csv", ".svg", ".pdf"}


@pytest.mark.parametrize("text", ["gif", "svg,gif", ",", ""])
def test_another_format_is_refused_in_one_line_before_anything_is_read(text: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["report", str(tmp_path / "nowhere"), "--formats", text])
    assert done.exit_code == 2
    assert "names no format of svg, png, pdf" in done.output
