"""A paper's table: what stands in it, where means are taken, and the forms it is written in."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.reports.analysis import Analysis
from bench.reports.paper.forms import paper_csv, paper_frame, paper_html, paper_latex, paper_markdown
from bench.reports.paper.table import PaperTable, paper_table
from bench.reports.tables.latex import LINE
from bench.utils.errors import BenchError
from tests.statistics.runs import make_run

SHOTS = tuple({"shots": k, "classes": 6} for k in (1, 16))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on two data sets, a third on one of them; shots are the conditions."""
    folder = tmp_path_factory.mktemp("runs")
    common = {"sessions": 1, "per": 6, "conditions": SHOTS}
    make_run(folder / "a", {"good": 0.95, "also good": 0.94, "b_a%d": 0.3}, datasets=("cats", "dogs"), **common)
    make_run(folder / "b", {"partial": 0.6}, datasets=("cats",), run="def456", **common)
    return folder


@pytest.fixture(scope="module")
def analysis(runs: Path) -> Analysis:
    return Analysis.of([runs])


@pytest.fixture(scope="module")
def table(analysis: Analysis) -> PaperTable:
    return paper_table(analysis)


def test_a_block_for_each_condition_in_the_order_of_its_numbers(table: PaperTable) -> None:
    assert [block.title for block in table.blocks] == ["shots 1", "shots 16"]
    assert table.datasets == ("cats", "dogs")
    assert set(table.methods) == {"good", "also good", "b_a%d", "partial"}


def test_entries_are_the_summary(table: PaperTable, analysis: Analysis) -> None:
    means = analysis.means[analysis.means["condition"].str.contains('"shots": 16')].set_index(["method", "dataset"])
    cells = analysis.cells[analysis.cells["condition"].str.contains('"shots": 16')]
    for (method, place), entry in table.blocks[1].entries.items():
        row = means.loc[(method, place)]
        assert (entry.mean, entry.low, entry.high) == (row.accuracy, row.accuracy_low, row.accuracy_high)
        own = cells[(cells["method"] == method) & (cells["dataset"] == place)]["accuracy"]
        assert entry.sd == pytest.approx(np.std(own, ddof=1))


def test_means_are_over_what_all_methods_have(table: PaperTable, analysis: Analysis) -> None:
    assert table.blocks[0].over == ("cats",)
    assert not table.averaged
    assert math.isnan(table.blocks[0].average("good"))
    both = paper_table(analysis, methods=["good", "b_a%d"])
    block = both.blocks[0]
    assert block.over == ("cats", "dogs")
    assert block.average("good") == pytest.approx(
        (block.entries["good", "cats"].mean + block.entries["good", "dogs"].mean) / 2
    )
    assert both.methods == ("good", "b_a%d")


def test_marks_are_those_of_the_statistics(table: PaperTable, analysis: Analysis) -> None:
    marks = {key[1:4]: mark for key, mark in analysis.marks.items() if key[4] == "accuracy"}
    assert {"best", "open"} <= set(marks.values())
    for block, condition in zip(table.blocks, SHOTS, strict=True):
        for (method, place), entry in block.entries.items():
            text = f'{{"classes": 6, "shots": {condition["shots"]}}}'
            assert entry.mark == marks.get((place, text, method), "")


def test_markdown_shows_marks_dashes_and_block_titles(table: PaperTable) -> None:
    text = paper_markdown(table)
    best = next(e for e in table.blocks[0].entries.values() if e.mark == "best")
    assert f"**{100 * best.mean:.1f}** [" in text
    assert "\u2020 |" in text
    assert "| *shots 16* |" in text
    row = next(line for line in text.splitlines() if line.startswith("| partial "))
    assert row.endswith("| - |")
    assert "Bold: the largest mean" in text


def test_latex_is_booktabs_and_fits(table: PaperTable, analysis: Analysis) -> None:
    tex = paper_latex(table)
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\emph{shots 1}", r"$^{\dagger}$", r"b\_a\%d"):
        assert command in tex
    assert tex.count("{") == tex.count("}")
    wide = paper_table(analysis, spread="sd")
    assert r"{\scriptsize $\pm$" in paper_latex(wide)
    assert "[" not in paper_markdown(wide).split("\n\n")[0]


def test_columns_that_do_not_fit_follow_below(tmp_path: Path) -> None:
    names = tuple(f"data-set-{n}" for n in range(9))
    make_run(tmp_path / "run", {"a": 0.9, "b": 0.5}, datasets=names, sessions=1, per=4, seeds=(0, 1))
    tex = paper_latex(paper_table(Analysis.of([tmp_path])))
    assert tex.count(r"\begin{tabular}") > 1
    heads = [line for line in tex.splitlines() if line.startswith("method &")]
    shown = [name for line in heads for name in line.removesuffix(r" \\").split(" & ")[1:]]
    assert shown == [*names, "mean"]
    assert all(len(line) < LINE for line in heads)


def test_conditions_are_columns_where_there_is_one_data_set(analysis: Analysis) -> None:
    one = paper_table(analysis, datasets=["cats"])
    assert one.columns == ["shots 1", "shots 16"]
    text = paper_markdown(one)
    assert text.splitlines()[0] == "| method | shots 1 | shots 16 |"
    assert sum(line.startswith("| partial ") for line in text.splitlines()) == 1


def test_what_differs_between_data_sets_alone_makes_no_block(tmp_path: Path) -> None:
    for name, sessions in (("cats", 5), ("dogs", 7)):
        condition = ({"increment": 2, "sessions": sessions},)
        make_run(tmp_path / name, {"a": 0.9}, datasets=(name,), conditions=condition, run=f"r{sessions}")
    (block,) = paper_table(Analysis.of([tmp_path])).blocks
    assert block.title == ""
    assert block.over == ("cats", "dogs")


def test_csv_is_tidy_and_html_shows_names_as_they_are(analysis: Analysis) -> None:
    made = paper_table(analysis, methods=["good", "b_a%d"])
    read = pd.read_csv(io.StringIO(paper_csv(made)))
    assert len(read) == len(paper_frame(made)) == 12
    assert set(read["dataset"]) == {"cats", "dogs", "mean of cats, dogs"}
    assert "<b>" in paper_html(made)


def test_what_is_not_there_is_refused_by_name(analysis: Analysis) -> None:
    for given, why in (
        ({"metric": "acuracy"}, "no metric 'acuracy'; did you mean 'accuracy'"),
        ({"metric": "forgetting"}, "forgetting was not measured in these runs; measured: accuracy"),
        ({"methods": ["goood"]}, "no method 'goood' in these runs; did you mean 'good'"),
        ({"datasets": ["cat"]}, "no data set 'cat' in these runs; did you mean 'cats'"),
    ):
        with pytest.raises(BenchError, match=why):
            paper_table(analysis, **given)


def test_the_command_writes_what_the_ending_says(runs: Path, tmp_path: Path) -> None:
    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["table", str(runs), *words], prog_name="bench")
        return done.exit_code, done.stdout or done.output

    files = [tmp_path / f"t.{ending}" for ending in ("tex", "md", "csv")]
    status, _ = call(*(word for file in files for word in ("--out", str(file))))
    assert status == 0
    begins = [file.read_text().splitlines()[0] for file in files]
    assert begins[0] == r"\begin{table}"
    assert begins[1].startswith("| method |")
    assert begins[2].startswith("block,method,dataset,mean")
    assert call("--datasets", "cats", "--methods", "good", "--spread", "none")[1].startswith("| method | shots 1 |")
    status, said = call("--out", str(tmp_path / "t.doc"))
    assert (status, "ends with none of .tex, .md, .csv" in said) == (2, True)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_it_compiles_on_one_page_without_an_overfull_line(table: PaperTable, tmp_path: Path) -> None:
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + paper_latex(table) + "\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "(1 page" in done.stdout
