"""A paper's table as LaTeX (booktabs), Markdown, CSV and HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup, escape

from bench.reports.paper.table import Entry, PaperTable
from bench.reports.statistics.table_marks import BEST, OPEN
from bench.reports.tables.files import csv_bytes
from bench.reports.tables.latex import GAP, LINE, escaped
from bench.reports.tables.markdown import name, words

DAGGER = "\u2020"
_SMALL = 7 / 8
"""The width of a letter of what stands beside a mean to one of the mean itself."""


def paper_latex(table: PaperTable) -> str:
    """Return the table as LaTeX for the package booktabs; columns that do not fit follow below the others."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(table.caption)}}}"]
    lines += [rf"\label{{tab:{table.metric.name.replace('_', '-')}}}", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    rows = list(table.grid())
    heads = [*table.columns, *(["mean"] if table.averaged else [])]
    for number, panel in enumerate(_panels(table)):
        lines += [r"\par\medskip"] if number else []
        lines += [rf"\begin{{tabular}}{{l{'c' * len(panel)}}}", r"\toprule"]
        lines += [" & ".join(["method", *(escaped(heads[c]) for c in panel)]) + r" \\"]
        for title, part in rows:
            lines += [r"\midrule"]
            lines += [rf"\multicolumn{{{1 + len(panel)}}}{{l}}{{\emph{{{escaped(title)}}}}} \\"] if title else []
            for method, entries, mean in part:
                cells = [
                    *(_latex(table, entry) for entry in entries),
                    *([_number(table, mean)] if table.averaged else []),
                ]
                lines += [" & ".join([escaped(method), *(cells[c] for c in panel)]) + r" \\"]
        lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _panels(table: PaperTable) -> list[list[int]]:
    """Return the columns that stand beside one another, by number; as many as fit between the margins."""
    names = max(map(len, (*table.methods, "method")))
    widths = []
    for c, head in enumerate(table.columns):
        longest = max((_width(table, entries[c]) for _, part in table.grid() for _, entries, _ in part), default=1.0)
        widths.append(max(len(head), longest) + GAP)
    widths += [5.0 + GAP] if table.averaged else []
    panels: list[list[int]] = [[]]
    left = float(LINE - names)
    for c, width in enumerate(widths):
        if panels[-1] and width > left:
            panels.append([])
            left = float(LINE - names)
        panels[-1].append(c)
        left -= width
    return panels


def _width(table: PaperTable, entry: Entry | None) -> float:
    if entry is None:
        return 1.0
    return len(_number(table, entry.mean)) + _SMALL * len(_beside(table, entry)) + bool(entry.mark)


def _number(table: PaperTable, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value + 0.0:.1f}" if table.metric.percent else f"{value:.3f}"


def _beside(table: PaperTable, entry: Entry) -> str:
    """Return what stands beside a mean; nothing where it was not measured."""
    if table.spread == "interval" and not math.isnan(entry.low):
        return f"[{_number(table, entry.low)}, {_number(table, entry.high)}]"
    if table.spread == "sd" and not math.isnan(entry.sd):
        return f"\u00b1{_number(table, entry.sd)}"
    return ""


def _latex(table: PaperTable, entry: Entry | None) -> str:
    if entry is None:
        return "-"
    number = _number(table, entry.mean).replace("-", "$-$")
    shown = rf"\textbf{{{number}}}" if entry.mark == BEST else number
    shown += r"$^{\dagger}$" if entry.mark == OPEN else ""
    beside = _beside(table, entry).replace("-", "$-$").replace("\u00b1", r"$\pm$")
    gap = "~" if beside.startswith("[") else ""
    return rf"{shown}{gap}{{\scriptsize {beside}}}" if beside else shown


def _plain(table: PaperTable, entry: Entry | None, bold: str = "") -> str:
    if entry is None:
        return "-"
    number, beside = _number(table, entry.mean), _beside(table, entry).replace("\u00b1", " \u00b1 ")
    mark = {BEST: bold, OPEN: ""}.get(entry.mark, "")
    gap = " " if beside.startswith("[") else ""
    return f"{mark}{number}{mark}{gap}{beside}" + (f" {DAGGER}" if entry.mark == OPEN else "")


def paper_markdown(table: PaperTable) -> str:
    """Return the table as Markdown, a block's title in a row of its own."""
    heads = ["method", *map(name, table.columns), *(["mean"] if table.averaged else [])]
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    for title, part in table.grid():
        lines += [_line([f"*{name(title)}*", *[""] * (len(heads) - 1)])] if title else []
        for method, entries, mean in part:
            cells = [_plain(table, entry, "**") for entry in entries]
            lines.append(_line([name(method), *cells, *([_number(table, mean)] if table.averaged else [])]))
    return "\n".join([*lines, "", words(table.caption), ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def paper_frame(table: PaperTable) -> pd.DataFrame:
    """Return one row a block, method and data set: the numbers as they are, shares from 0 to 1.

    Means over data sets are rows whose data set is ``mean of NAMES``.
    """
    rows: list[dict[str, object]] = []
    for block in table.blocks:
        for method in table.methods:
            for place in table.datasets:
                if (entry := block.entries.get((method, place))) is not None:
                    numbers = {"mean": entry.mean, "low": entry.low, "high": entry.high, "sd": entry.sd}
                    about = {"block": block.title, "method": method, "dataset": place}
                    rows.append({**about, **numbers, "seeds": entry.seeds, "mark": entry.mark})
            if not math.isnan(mean := block.average(method)):
                about = {"block": block.title, "method": method, "dataset": f"mean of {', '.join(block.over)}"}
                rows.append({**about, "mean": mean, "low": math.nan, "high": math.nan, "sd": math.nan, "mark": ""})
    frame = pd.DataFrame(rows).assign(metric=table.metric.name)
    return frame.astype({"seeds": "Int64"})


def paper_csv(table: PaperTable) -> str:
    """Return :func:`paper_frame` as CSV."""
    return csv_bytes(paper_frame(table)).decode()


def paper_html(table: PaperTable) -> str:
    """Return the table as HTML for a notebook."""
    heads = ["method", *table.columns, *(["mean"] if table.averaged else [])]
    rows = [Markup("<tr>{}</tr>").format(Markup("").join(Markup("<th>{}</th>").format(head) for head in heads))]
    for title, part in table.grid():
        if title:
            rows.append(Markup('<tr><td colspan="{}"><i>{}</i></td></tr>').format(len(heads), title))
        for method, entries, mean in part:
            cells = [_html(table, entry) for entry in entries]
            cells += [escape(_number(table, mean))] if table.averaged else []
            texts = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in (method, *cells))
            rows.append(Markup("<tr>{}</tr>").format(texts))
    return str(Markup("<table>{}</table><p><small>{}</small></p>").format(Markup("").join(rows), table.caption))


def _html(table: PaperTable, entry: Entry | None) -> Markup:
    text = escape(_plain(table, entry))
    return Markup("<b>{}</b>").format(text) if entry is not None and entry.mark == BEST else text
