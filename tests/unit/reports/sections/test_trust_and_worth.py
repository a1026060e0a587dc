"""What `bench certify --keep` and `bench value --keep` leave in a run stands in its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.reports.analysis import Analysis
from bench.reports.sections.sections import parts, tables
from bench.results.kept_tables import CERTIFICATES, VALUES, kept
from bench.runner.api import run
from bench.utils.errors import BenchError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    settings = {"few-to-many-shot.shots": [4]}
    run("few-to-many-shot", ["protonet", "knn"], "digits", 1, out=out, device="cpu", set=settings)
    return next(out.iterdir())


def test_a_report_shows_what_was_kept_and_nothing_else(made: Path) -> None:
    before = {part.key: part for part in parts(tables(Analysis.of([made])), {})}
    assert before["worth"].tables == []
    assert "certified" not in [table.name for table in before["trust"].tables]
    for command in (["certify", str(made), "--most", "4", "--keep"], ["value", str(made), "--keep"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "for `bench report`" in done.output
    after = {part.key: part for part in parts(tables(Analysis.of([made])), {})}
    (table,) = [one for one in after["trust"].tables if one.name == "certified"]
    certificates = kept(made, CERTIFICATES)
    assert certificates is not None
    right = certificates.groupby(["method", "edit"])["correct"].mean()
    at = {name: place for place, name in enumerate(table.head)}
    for row in table.rows:
        shown = {name: row[place].value for name, place in at.items()}
        assert shown["0 edits"] == pytest.approx(right[shown["method"], shown["edit"]])
        assert shown["0 edits"] >= shown["1 edits"] >= shown["4 edits"]
    assert len(table.rows) == 6
    by_source, by_class = after["worth"].tables
    values = kept(made, VALUES)
    assert values is not None
    assert by_source.rows[0][-4].value == pytest.approx(values["shapley"].sum())
    assert len(by_class.rows) == 10


def test_a_damaged_table_is_one_line(made: Path, tmp_path: Path) -> None:
    (tmp_path / CERTIFICATES).write_text("a,b\n1,2\n")
    with pytest.raises(BenchError, match="is damaged"):
        kept(tmp_path, CERTIFICATES)
    assert kept(tmp_path, VALUES) is None
