"""The terminal's table wraps where there is a terminal, and is one line a row where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports.analysis import Analysis
from bench.reports.page.terminal import text
from tests.statistics.runs import make_run

WARNING = "few seeds (3): " + "intervals are wide and small differences stay undecided; " * 3


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    methods = {"good": 0.8, "mml:temperature=0.01,vote=weighted": 0.6, "[bold]": 0.4}
    return Analysis.of([make_run(tmp_path_factory.mktemp("runs") / "r", methods)])


def test_a_pipe_gets_a_line_a_row(analysis: Analysis) -> None:
    lines = text(analysis.means, [WARNING], Path("out"), 5).splitlines()
    rows = lines[3:6]
    assert [row.split()[0] for row in rows] == ["good", "mml:temperature=0.01,vote=weighted", "[bold]"]
    # Four intervals of two bounds each, and what it costs, in every row.
    assert all(row.count("]") - row.startswith("[bold]") == 4 for row in rows)
    assert set(lines[2]) == {"-"}
    assert f"warning: {WARNING.strip()}" in [line.strip() for line in lines]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_of_80_columns_wraps_and_loses_nothing(analysis: Analysis) -> None:
    wide = text(analysis.means, [WARNING], Path("out"), 5)
    narrow = text(analysis.means, [WARNING], Path("out"), 5, width=80)
    shown = narrow.rpartition("\n")[0].splitlines()
    assert max(map(len, shown)) <= 80
    assert "\x1b" not in narrow
    for number in {word.strip("[],") for word in wide.split() if word[:1].isdigit()}:
        assert number in narrow
