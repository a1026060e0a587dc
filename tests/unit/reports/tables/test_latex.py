"""LaTeX tables: every cell once, nothing that TeX would read as its own, and pages that hold them."""

import re
import shutil
import subprocess

import pytest

from bench.reports.report import build
from bench.reports.tables.latex import GAP, LINE, escaped, latex
from bench.reports.tables.table import Cell, Table, without_constants
from tests.statistics.runs import make_run

ODD = r"100% of {a_b} & #1 ~ ^2 \end $x$ <y> |z|"
LONG = "mml-prototypes(prototypes=cross-modal,k_of_all=16)"


def table(rows=3, columns=12, names=("knn", "[x]", "*y")):
    cells = tuple(
        (Cell(names[r % len(names)], ""), *(Cell(f"-{r}.{c} [-1.0, 2.0]", float(c)) for c in range(columns)))
        for r in range(rows)
    )
    return Table("t", "T", "within +-1", ("method", *(f"score {c} %" for c in range(columns))), cells)


def test_marks_of_tex_are_escaped():
    # What stays after the commands that print marks is the text without them.
    assert escaped(ODD) == (
        r"100\% of \{a\_b\} \& \#1 \textasciitilde{} \textasciicircum{}2 \textbackslash{}end \$x\$ $<$y$>$ "
        r"\textbar{}z\textbar{}"
    )
    assert escaped("-3.1 [-5.2, -1.0] of a-1") == "$-$3.1 [$-$5.2, $-$1.0] of a-1"
    assert escaped("within +-1") == r"within $\pm$1"


@pytest.mark.parametrize("text", ["[x]", "*x"])
def test_a_row_does_not_begin_with_an_argument_of_the_one_before(text):
    assert escaped(text) == "{}" + text


@pytest.mark.parametrize("rows", [3, 200])
def test_every_cell_is_there_once_in_blocks_that_fit(rows):
    made = table(rows)
    tex = latex(made)
    body = [line for line in tex.splitlines() if re.match(r"(knn|\{\}\[x\]|\{\}\*y) &", line)]
    blocks = len(body) // rows
    assert blocks > 1
    assert len(body) == blocks * rows
    for r, row in enumerate(made.rows):
        own = [cell for line in body[r::rows] for cell in line.removesuffix(r" \\").split(" & ")[1:]]
        assert own == [escaped(cell.text) for cell in row[1:]]
    plain = [line.removesuffix(r" \\").replace("$-$", "-").split(" & ") for line in body]
    assert max(sum(len(cell) + GAP for cell in line) for line in plain) <= LINE
    assert tex.count(r"\caption{within $\pm$1}") == tex.count(r"\label{tab:t}") == 1
    assert (r"\begin{longtable}" in tex) == (rows == 200)
    assert tex.count("{") == tex.count("}")


def test_long_names_are_broken_where_they_may_be():
    tex = latex(table(names=(LONG,)))
    assert r"\raggedright" in tex
    assert r"prototypes=\allowbreak{}cross-modal" in tex
    assert r"\allowbreak" not in latex(table())
    assert r"0123456789ab\allowbreak{}cdef" in latex(table(names=("of " + "0123456789abcdef" * 4,)))


def test_a_text_beside_broken_names_fits_the_line():
    words = "new seeds and new images of these classes"
    cells = tuple((Cell("mean of all 2", ""), Cell(LONG, ""), Cell("1", 1.0), Cell(words, "")) for _ in range(2))
    tex = latex(Table("t", "T", "C.", ("data set", "method", "n", "interval over"), cells))
    (columns,) = (line for line in tex.splitlines() if "begin{tabular}{l" in line and line.count("p{") == 2)
    half = sum(2 * float(width) for width in re.findall(r"p\{([\d.]+)em\}", columns))
    assert len("mean of all 2") + half + 3 * GAP <= LINE


def test_what_all_conditions_have_in_common_stands_in_the_caption():
    rows = [(Cell("s", "s"), Cell("d", "d"), Cell(f"noise x, rate {r}", ""), Cell("1", 1.0)) for r in (0.0, 0.2)]
    short = without_constants(Table("t", "T", "C.", ("scenario", "data set", "condition", "n"), tuple(rows)))
    assert short.head == ("condition", "n")
    assert [row[0].text for row in short.rows] == ["rate 0.0", "rate 0.2"]
    assert short.caption == "C. All rows: scenario s, data set d, condition noise x."


def test_a_condition_that_is_all_in_common_is_a_dash():
    rows = [(Cell(s, s), Cell("d", "d"), Cell(c, c), Cell("1", 1.0)) for s, c in (("a", "k 1"), ("b", "k 1, n 2"))]
    short = without_constants(Table("t", "T", "C.", ("scenario", "data set", "condition", "n"), tuple(rows)))
    assert [row[1].text for row in short.rows] == ["-", "n 2"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_the_tables_of_a_report_compile_and_stay_on_the_page(tmp_path):
    methods = {name: 0.3 + i / 20 for i, name in enumerate(("knn", LONG, ODD, "[x]", "*y", *"abcd"))}
    conditions = tuple({"noise": "wrong-class", "rate": rate} for rate in (0.0, 0.2))
    make_run(tmp_path / "run", methods, datasets=("a_b", "c&d"), conditions=conditions)
    build([tmp_path / "run"], tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "tables").glob("*.tex"))
    assert "comparisons.tex" in names
    text = [r"\documentclass{article}", r"\usepackage{booktabs,array,longtable}", r"\begin{document}"]
    text += [rf"\input{{tables/{name}}}\clearpage" for name in names]
    (tmp_path / "out" / "all.tex").write_text("\n".join([*text, r"\end{document}"]))
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
            cwd=tmp_path / "out",
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, done.stdout[-2000:]
    assert re.findall(r"Overfull \\hbox.*|.*Float too large.*|.*undefined.*", done.stdout) == []
