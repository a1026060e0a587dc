"""Names that are markup, formulas, links, control characters or of another script: shown, and nowhere obeyed."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import warnings
from pathlib import Path

import pandas as pd
import pytest

from bench.reports.figures.style import canvas, render, unshown
from bench.reports.report import build
from bench.reports.tables.console import table_lines, text_lines
from bench.reports.tables.files import csv_bytes, inert
from bench.reports.tables.markdown import markdown, name, words
from bench.reports.tables.table import Cell, Table
from bench.reports.utils.text import condition_text, slug
from tests.statistics.runs import make_run

HOSTILE = {
    "<script>alert(1)</script>": 0.5,
    '"><img src=x onerror=alert(1)>': 0.6,
    "=HYPERLINK(1)": 0.7,
    "@SUM(A1)|x": 0.55,
    "[a](http://b) ![c](d)": 0.65,
    r"$\frac{ $": 0.75,
    "a\nb\r\x1b[2J\u202ec": 0.45,
    "鶴と鷺": 0.8,
    "\\input{x}%#&_^~": 0.35,
}
FORBIDDEN = ("\x1b", "\r", "\u202e")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("hostile")
    run = make_run(
        folder / "run",
        HOSTILE,
        datasets=("set <b>x</b> $a$", "第一", "第二"),
        seeds=(0,),
        sessions=2,
        conditions=({"=cmd\n<b>": "[x](y)\x1b"},),
        manifest={"class_names": {"第一": ["<i>a</i>", "b\nc", "$c$", "=d"]}},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = build([run], folder / "out", formats=("svg", "png"))
    return folder / "out", said


def test_a_page_obeys_its_own_script_and_style_alone(report: tuple[Path, str]) -> None:
    text = (report[0] / "report.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert "unsafe-inline" not in text
    for kind, tag in (("style", "style"), ("script", "script")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", re.sub(r'"[^"]*"', '""', text)), "the policy would forbid it"


def test_names_are_no_markup_of_the_page(report: tuple[Path, str]) -> None:
    text = (report[0] / "report.html").read_text()
    assert text.count("<script>") == 1
    assert "<img src=x" not in text
    assert "<i>a</i>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_no_file_holds_control_characters(report: tuple[Path, str]) -> None:
    out, said = report
    for path in out.rglob("*"):
        if path.suffix in (".html", ".md", ".csv", ".tex", ".svg"):
            content = path.read_bytes().decode()
            assert not [mark for mark in FORBIDDEN if mark in content], path.name
    assert not [mark for mark in FORBIDDEN if mark in said]
    assert r"a\nb\r\x1b[2J\u202ec" in said


def test_no_cell_of_a_csv_begins_a_formula(report: tuple[Path, str]) -> None:
    for path in report[0].rglob("*.csv"):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for text in [*frame.columns, *(value for column in frame for value in frame[column])]:
            assert text == "-" or not text.lstrip().startswith(("=", "+", "@", "\uff1d")), (path.name, text)
    assert "'=HYPERLINK(1)" in set(pd.read_csv(report[0] / "summary.csv")["method"])


def test_markdown_has_neither_tags_nor_links(report: tuple[Path, str]) -> None:
    text = (report[0] / "report.md").read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    head, *rows = [line for line in text.splitlines() if line.startswith("|")][:4]
    pipes = len(re.findall(r"(?<!\\)\|", head))
    assert all(len(re.findall(r"(?<!\\)\|", row)) == pipes for row in rows)


def test_characters_that_the_figures_lack_are_said_once(report: tuple[Path, str]) -> None:
    text = (report[0] / "report.md").read_text()
    (line,) = [line for line in text.splitlines() if "show a box" in line]
    assert "鶴" in line
    assert "鶴" in "".join(path.read_text() for path in (report[0] / "figures").glob("*.svg"))


def test_data_sets_of_another_script_have_figures_of_their_own(report: tuple[Path, str]) -> None:
    assert slug("第一", "x") != slug("第二", "x")
    assert slug("第一").isascii()


@pytest.mark.parametrize("text", ["鶴", "ж鶴", "🦩"])
def test_what_a_font_lacks(text: str) -> None:
    assert unshown([text]) == text[-1]


@pytest.mark.parametrize("text", ["knn", "café", "жук", "a b"])
def test_what_a_font_has(text: str) -> None:
    assert unshown([text]) == ""


@pytest.mark.parametrize("text", ["$x$", r"$\frac{", "cost in $ and $", r"$\unknown$"])
def test_a_dollar_is_a_dollar_in_a_figure(text: str) -> None:
    with canvas() as (drawing, (axes,)):
        axes.plot([0, 1], [0, 1], label=text)
        axes.set_title(text)
        axes.set_xticks([0, 1], [text, text])
        axes.legend()
        drawn = render(drawing, name="n", title="t", caption="c", data=pd.DataFrame())
    assert drawn.svg.decode().count(text) == 4
    assert drawn.png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd", "-cmd|x", "@SUM(A1)", " =1", "\t=1", "\r=1", "\uff1d1", "-1+1", "=", "-=1", "--", "+1-1"],
)
def test_formulas_are_neutralised(text: str) -> None:
    (line,) = csv_bytes(pd.DataFrame({"a": [text]})).decode().splitlines()[1:]
    assert line.strip('"').startswith(("'", "\\")), line


@pytest.mark.parametrize("text", ["", "a", "-", "-1.5", "+2", "-1e-9", "1=1", "a@b", "ViT-B-32:openai"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert inert(text) == text


def test_categories_and_heads_are_neutralised_as_well() -> None:
    table = pd.DataFrame({"=a": pd.Categorical(["=b", "c", None]), "n": [1, 2, 3]})
    table["=a"] = table["=a"].cat.rename_categories(table["=a"].cat.categories.astype("str"))
    assert csv_bytes(table).decode().splitlines() == ["'=a,n", "'=b,1", "c,2", ",3"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>", "&lt;b>"),
        ("[a](b)", r"[a]\(b)"),
        ("![a][b]", r"\![a]\[b]"),
        ("&lt;", "&amp;lt;"),
        ("A & B", "A & B"),
        ("a\nb", r"a\\nb"),
        ("82.3 [80.1, 84.5]", "82.3 [80.1, 84.5]"),
        ("see `bench list`", "see `bench list`"),
        ("few_to_many", "few_to_many"),
    ],
)
def test_words_in_markdown(text: str, shown: str) -> None:
    assert words(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("*a*", r"\*a\*"), ("_a_", r"\_a\_"), ("a|b", r"a\|b"), ("`a`", r"\`a\`"), ("a\\|b", r"a\\\|b")]
)
def test_names_in_markdown(text: str, shown: str) -> None:
    assert name(text) == shown
    table = Table("t", "T", "c", (text,), ((Cell(text, text),),))
    assert f"| {shown} |" in markdown(table)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\rb", "a\u202eb", "a\x07b", "a\x9bb"])
def test_a_terminal_is_told_nothing(text: str) -> None:
    lines = [*text_lines(text), *table_lines(["head"], [[text]])]
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert condition_text('{"a": "x\\ny\\u001b"}').isprintable()


def test_long_names_have_short_files() -> None:
    assert len(slug("a" * 180, "b" * 180)) <= 120
    assert slug("a" * 180, "b") != slug("a" * 180, "c")
    assert slug("few-shot", "digits", "curve") == "few-shot-digits-curve"


def test_a_data_set_with_a_long_name_has_its_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"m" * 180: 0.5, "n": 0.7}, datasets=("d" * 180,), seeds=(0,), sessions=2)
    build([run], tmp_path / "out")
    assert list((tmp_path / "out" / "figures").iterdir())


def test_a_png_is_drawn_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with canvas() as (drawing, (axes,)):
        axes.set_title("鶴")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert io.BytesIO(render(drawing, name="n", title="t", caption="c", data=pd.DataFrame()).png).read(4)
    assert capsys.readouterr() == ("", "")
