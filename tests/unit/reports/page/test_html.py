"""The page, its tables and figures."""

import re

import pandas as pd
import pytest

from bench.reports.page.template import _code
from bench.reports.report import build
from tests.statistics.runs import make_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    methods = {"knn": 0.5, "mml": 0.8, "<b>odd & name": 0.6}
    make_run(folder / "a", methods, run="a", sessions=2, fidelity="adapted")
    make_run(folder / "b", {"clip": 0.4}, run="b", status="skipped", reason="needs texts & prompts")
    build([folder], folder / "out")
    return folder / "out"


def test_the_page_loads_nothing(report):
    text = (report / "report.html").read_text()
    links = re.findall(r"""(?:src|href|action|srcset)\s*=\s*["']([^"']*)""", text)
    assert links
    # What is linked but not loaded lies beside the page.
    files = [link for link in links if not link.startswith(("#", "data:"))]
    assert "summary.csv" in files
    assert all((report / file).is_file() and file.endswith(".csv") for file in files)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_warnings_come_before_any_number(report):
    text = (report / "report.html").read_text()
    assert 0 < text.index("clip was skipped on made: needs texts &amp; prompts") < text.index("<table")
    assert text.index("adapted, not faithful") < text.index("<table")
    assert "needs texts & prompts" in (report / "report.md").read_text()


def test_commands_are_set_as_code(report):
    page = (report / "report.html").read_text()
    assert "<code>bench list methods</code>" in page
    assert "`" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    assert str(_code("<b> `x<y`")) == "&lt;b&gt; <code>x&lt;y</code>"


def test_names_are_escaped(report):
    text = (report / "report.html").read_text()
    assert "<b>odd" not in text
    assert "&lt;b&gt;odd &amp; name" in text
    assert r"$<$b$>$odd \& name" in (report / "tables" / "scores.tex").read_text()


def test_every_link_of_the_page_has_a_target(report):
    text = (report / "report.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_every_figure_has_svg_and_csv(report):
    names = {path.stem for path in (report / "figures").iterdir()}
    assert {path.suffix for path in (report / "figures").iterdir()} == {".csv", ".svg"}
    kinds = {name.rsplit("-", 1)[-1] for name in names}
    assert {"curve", "cost", "disagreement", "classes", "forgetting"} <= kinds
    for name in names:
        assert b"<svg" in (report / "figures" / f"{name}.svg").read_bytes()
        assert len(pd.read_csv(report / "figures" / f"{name}.csv"))


def test_other_formats_are_written_where_they_are_asked_for(report, tmp_path):
    build([report.parent], tmp_path / "out", formats=("png", "pdf"))
    figures = tmp_path / "out" / "figures"
    assert {path.suffix for path in figures.iterdir()} == {".csv", ".png", ".pdf"}
    assert {path.stem for path in figures.iterdir()} == {path.stem for path in (report / "figures").iterdir()}
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/svg+xml") == len(list(figures.glob("*.pdf")))
    # The next report without them removes them.
    build([report.parent], tmp_path / "out")
    assert {path.suffix for path in figures.iterdir()} == {".csv", ".svg"}


def test_comparisons_csv_agrees_with_the_summary(report):
    found = pd.read_csv(report / "comparisons.csv")
    means = pd.read_csv(report / "summary.csv").query("seed == 'mean'").set_index("method")["accuracy"]
    assert len(found) == 3
    for row in found.itertuples():
        assert row.difference == pytest.approx(means[row.a] - means[row.b], abs=2e-6)
        assert row.low < row.difference < row.high


def test_figures_stand_in_the_order_of_their_numbers(tmp_path):
    conditions = tuple({"shots": n} for n in (1, 16, 2))
    make_run(tmp_path / "r", {"m": 0.5, "n": 0.6}, conditions=conditions, sessions=1)
    build([tmp_path], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    places = [text.index(f"figures/incremental-made-shots-{n}-cost.csv") for n in (1, 2, 16)]
    assert places == sorted(places)
    assert "<b>1</b> scenario</li>" in text
    assert "incremental on made, shots 16. Share of queries" in text
