"""A metric and a figure of a plug-in appear everywhere at once, and a broken plug-in is one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import reports
from tests.statistics.runs import make_run

HERE = Path(reports.__file__).parent.parent
DOCS = Path(__file__).parents[3] / "docs" / "reports.md"

METRIC = f"""
import numpy as np
from {reports.__name__}.metrics.definitions import metric

MEANING = "Margin: confidence, negative where the answer is wrong."

@metric("margin", head="margin", meaning=MEANING, low=-1, percent=False)
def margin(predictions):
    return predictions.confidences * np.where(predictions.correct, 1, -1)
"""

FIGURE = f"""
from {reports.__name__}.figures.registry import figure
from {reports.__name__}.figures.style import canvas, render
from {reports.__name__}.utils.text import file_name

@figure("confidences", section="comparisons")
def confidences(analysis):
    for group in analysis.detailed_groups:
        with canvas() as (drawing, (axes,)):
            data = analysis.means[["method", "margin"]]
            axes.bar(data["method"], data[data.columns[-1]])
        yield render(drawing, name=file_name(*group.key, "unheard-of"), title="Margins", caption="Mine.", data=data)
"""


def install(folder: Path, name: str, group: str, code: str) -> None:
    """Write an installed distribution with one module that an entry-point group names."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[retrieval_bench.{group}]\n{name} = {name}\n")


def report(run: Path, out: Path, plugins: Path, *, soon: float = 1e9) -> subprocess.CompletedProcess[str]:
    """Make a report in a process of its own, in which the plug-ins are installed.

    After ``soon`` seconds the page is there before its figures.
    """
    code = (
        f"import sys; from pathlib import Path; from {reports.__name__} import report; build = report.build; "
        f"report._SOON = {soon}; from bench.utils.errors import BenchError\n"
        f"try: print(build([Path({str(run)!r})], Path({str(out)!r})))\n"
        "except BenchError as error: sys.exit(f'bench: {error}')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(plugins), str(HERE)])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "r", {"bad": 0.4, "good": 0.8})


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("plugins")
    install(folder / "lib", "margin_metric", "metrics", METRIC)
    install(folder / "lib", "margin_figure", "figures", FIGURE)
    install(folder / "lib", "broken_metric", "metrics", "import nothing_of_this_name")
    install(folder / "lib", "broken_figure", "figures", FIGURE.replace("comparisons", "comparison"))
    done = report(run, folder / "out", folder / "lib")
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def test_a_metric_of_a_plugin_is_in_numbers_intervals_tables_page_and_terminal(
    run: Path, made: tuple[Path, str]
) -> None:
    out, shown = made
    summary = pd.read_csv(out / "summary.csv")
    predictions = pd.concat(pd.read_parquet(path) for path in (run / "predictions").glob("*-good-0-*"))
    last = predictions[predictions["session"] == predictions["session"].max()]
    margin = np.where(last["label"] == last["prediction"], last["confidence"], -last["confidence"]).mean()
    assert summary.query("method == 'good' and seed == '0'")["margin"].item() == pytest.approx(margin, abs=1e-6)
    mean = summary.query("method == 'good' and seed == 'mean'").iloc[0]
    assert mean["margin_low"] < mean["margin"] < mean["margin_high"]
    assert "margin" in pd.read_parquet(out / "summary.parquet")
    text = f"{mean['margin']:.3f} [{mean['margin_low']:.3f}, {mean['margin_high']:.3f}]"
    for words in (text, "Margin: confidence, negative where the answer is wrong."):
        assert words in (out / "report.md").read_text()
        assert words in (out / "tables" / "scores.tex").read_text()
        assert words in (out / "report.html").read_text().replace('<span class="bounds">', "")
    assert text in shown
    assert "margin" in shown


def test_a_figure_of_a_plugin_is_on_the_page_whatever_it_is_called(made: tuple[Path, str]) -> None:
    page = (made[0] / "report.html").read_text()
    (file,) = (made[0] / "figures").glob("*unheard-of.csv")
    section = page[page.index('id="part-comparisons"') :]
    assert f"figures/{file.name}" in section[: section.index('</section>\n<section id="part-')]


def test_every_figure_is_on_the_page(made: tuple[Path, str]) -> None:
    page = (made[0] / "report.html").read_text()
    files = sorted((made[0] / "figures").glob("*.csv"))
    assert len(files) > 4
    assert not [file.name for file in files if f"figures/{file.name}" not in page]


def test_a_broken_plugin_is_one_warning_and_the_rest_is_there(made: tuple[Path, str]) -> None:
    out, shown = made
    lines = [line for line in shown.splitlines() if "plug-in" in line]
    assert lines == [
        "warning: plug-in 'broken_figure' (broken_figure) of retrieval_bench.figures cannot be used: figure "
        "'confidences' stands in section 'comparison', which a report does not have; did you mean 'comparisons'?; mend "
        "or uninstall it",
        "warning: plug-in 'broken_metric' (broken_metric) of retrieval_bench.metrics cannot be used: "
        "ModuleNotFoundError: No module named 'nothing_of_this_name'; mend or uninstall it",
    ]
    assert "nothing_of_this_name" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("group", "code", "words"),
    [
        ("metrics", METRIC.replace("predictions.confidences *", "1 / 0 *"), "failed (ZeroDivisionError"),
        ("metrics", METRIC.replace("correct, 1, -1)", "correct, 1, -1)[:, None]"), "of shape"),
        ("figures", FIGURE.replace('analysis.means[["method", "margin"]]', "analysis.nothing"), "has no attribute"),
        ("figures", FIGURE.replace("yield render", "yield 5; render").replace(', "margin"', ""), "yields int, which"),
        ("figures", FIGURE.replace('file_name(*group.key, "unheard-of")', '"incremental-made-base-0-increment-2-cost"')
         .replace('"margin"', '"accuracy"'), "two figures are named incremental-made-base-0-increment-2-cost"),
    ],
    ids=["raises", "other shape", "figure raises", "no figure", "name taken"],
)  # fmt: skip
def test_a_plugin_that_fails_while_it_works_is_one_line(
    run: Path, tmp_path: Path, group: str, code: str, words: str
) -> None:
    install(tmp_path / "lib", "failing", group, code)
    # As on a slow machine, where the page without figures is there by then, and is taken back.
    done = report(run, tmp_path / "out", tmp_path / "lib", soon=-1)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def test_the_code_of_the_documentation_is_a_plugin_that_works(run: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    for group, mark in (("metrics", "@metric("), ("figures", "@figure(")):
        (code,) = [block for block in blocks if mark in block]
        install(tmp_path / "lib", f"documented_{group}", group, code)
    done = report(run, tmp_path / "out", tmp_path / "lib")
    assert done.returncode == 0, done.stderr
    assert "plug-in" not in done.stdout
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["margin"].notna().all()
    assert len(list((tmp_path / "out" / "figures").glob("*-confidence.svg"))) == 1
