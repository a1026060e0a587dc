"""Tables as LaTeX that fits on a page: wide ones in blocks of columns one below the other, long ones over pages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import wrap

from bench.reports.tables.table import Cell, Table

LINE = 83
"""Characters that fit between the margins of ``article`` in its footnote size, the gaps between columns included."""

GAP = 2
"""Characters that a gap takes."""

NAMES = 46
"""Characters that the names at the head of a row may take together; the widest are broken over lines."""

WORDS = 32
"""Characters that any other text may take."""

PAGE = 42
"""Lines that fit on a page beside a caption; more of them make a table that goes on over pages."""


def latex(table: Table) -> str:
    """Return a table as LaTeX for the packages booktabs, array and longtable.

    Columns that do not fit beside each other follow in blocks, each with the names at the head of its rows. What fits
    on a page floats (``table``), what does not is a ``longtable``, which needs a page of one column.
    """
    plan = _Plan(table)
    write = _floating if sum(plan.lines(block) for block in plan.blocks) <= PAGE else _over_pages
    return "\n".join([*write(plan), ""])


@dataclass(frozen=True)
class _Plan:
    """Where the columns of a table go; widths are in characters."""

    table: Table

    @cached_property
    def names(self) -> list[int]:
        """The leading columns of text, which say what a row is about; at least one column is none of them."""
        numeric = self.table.numeric
        found = next((c for c, number in enumerate(numeric) if number), len(numeric))
        return list(range(min(found, len(numeric) - 1)))

    @cached_property
    def longest(self) -> list[int]:
        """The longest text of each column; a head is broken at spaces, into no less than seven letters."""
        heads = [max([head[:7], *head.split()], key=len) for head in self.table.head]
        texts = [heads, *([cell.text for cell in row] for row in self.table.rows)]
        return [max(1, *map(len, column)) for column in zip(*texts, strict=True)]

    @cached_property
    def widths(self) -> list[int]:
        """The width of each column: the widest are narrowed where names or words take more than they may."""
        widths = self.longest.copy()
        while sum(widths[c] for c in self.names) > NAMES:
            widths[max(self.names, key=lambda c: widths[c])] -= 1
        # Beside the names of its rows a text has a line to itself at most.
        most = min(WORDS, LINE - sum(widths[c] + GAP for c in self.names) - GAP)
        for c, number in enumerate(self.table.numeric):
            if not number and c not in self.names:
                widths[c] = min(widths[c], most)
        return widths

    @cached_property
    def blocks(self) -> list[list[int]]:
        """The columns of each block: the names, and what fits beside them, in order."""
        room = LINE - sum(self.widths[c] + GAP for c in self.names)
        parts: list[list[int]] = [[]]
        left = room
        for c in range(len(self.names), len(self.widths)):
            taken = self.widths[c] + GAP
            if parts[-1] and taken > left:
                parts.append([])
                left = room
            parts[-1].append(c)
            left -= taken
        return [[*self.names, *part] for part in parts]

    def broken(self, column: int) -> bool:
        """Return whether texts of a column are broken over lines."""
        return self.widths[column] < self.longest[column]

    def lines(self, block: Sequence[int]) -> int:
        """Return the lines that a block takes."""
        texts = [self.table.head, *([cell.text for cell in row] for row in self.table.rows)]
        return sum(max(1, *(math.ceil(len(row[c]) / self.widths[c]) for c in block)) for row in texts)

    def columns(self, block: Sequence[int]) -> str:
        """Return the columns as a ``tabular`` takes them."""
        return "".join("r" if self.table.numeric[c] else self._text(c) for c in block)

    def _text(self, column: int) -> str:
        # Half an em a character; lines are not stretched to the width.
        width = rf"p{{{self.widths[column] / 2:g}em}}"
        return rf">{{\raggedright\arraybackslash}}{width}" if self.broken(column) else "l"

    def head(self, block: Sequence[int]) -> str:
        """Return the heads of a block."""
        return " & ".join(map(self._head, block)) + r" \\"

    def _head(self, column: int) -> str:
        lines = [escaped(line) for line in wrap(self.table.head[column], self.widths[column])]
        side = "r" if self.table.numeric[column] else "l"
        text = r" \\ ".join(lines)
        return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{text}\end{{tabular}}" if len(lines) > 1 else text

    def rows(self, block: Sequence[int]) -> Iterator[str]:
        """Yield the rows of a block."""
        for row in self.table.rows:
            yield " & ".join(_cell(row[c], self.broken(c)) for c in block) + r" \\"

    def caption(self, end: str = "") -> Iterator[str]:
        """Yield caption and label."""
        yield rf"\caption{{{escaped(self.table.caption)}}}"
        yield rf"\label{{tab:{self.table.name}}}{end}"


_SMALL = (r"\footnotesize", r"\setlength{\tabcolsep}{4pt}")


def _floating(plan: _Plan) -> Iterator[str]:
    yield from (r"\begin{table}", r"\centering", *plan.caption(), *_SMALL)
    for i, block in enumerate(plan.blocks):
        yield from [r"\par\medskip"] if i else []
        yield from (rf"\begin{{tabular}}{{{plan.columns(block)}}}", r"\toprule", plan.head(block), r"\midrule")
        yield from (*plan.rows(block), r"\bottomrule", r"\end{tabular}")
    yield r"\end{table}"


def _over_pages(plan: _Plan) -> Iterator[str]:
    yield from (r"\begingroup", *_SMALL)
    for i, block in enumerate(plan.blocks):
        yield rf"\begin{{longtable}}{{{plan.columns(block)}}}"
        more = rf"Table~\ref{{tab:{plan.table.name}}}, further columns"
        yield from [rf"\multicolumn{{{len(block)}}}{{l}}{{{more}}} \\"] if i else plan.caption(r"\\")
        yield from (r"\toprule", plan.head(block), r"\midrule", r"\endfirsthead")
        yield from (r"\toprule", plan.head(block), r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot")
        yield from (*plan.rows(block), r"\end{longtable}")
        # A longtable is counted even where it only brings further columns.
        yield from [r"\addtocounter{table}{-1}"] if i else []
    yield r"\endgroup"


def _cell(cell: Cell, broken: bool) -> str:
    text = escaped(cell.text)
    if broken:  # a long name may be broken at more than its hyphens and spaces, and a hash anywhere
        text = re.sub(r"(?<=\w)(?:=|\\_|\()(?=\w)|[0-9a-f]{12}(?=[0-9a-f])", r"\g<0>\\allowbreak{}", text)
    return rf"\textbf{{{text}}}" if cell.bold else text


_MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "\u2020": r"\textdagger{}",
}
_MARKS |= {"\u2020": r"\textdagger{}", "<": "$<$", ">": "$>$"} | {mark: "\\" + mark for mark in "&%$#_{}"}


def escaped(text: str) -> str:
    """Return a text that LaTeX prints as it is."""
    marked = re.sub(r"[\\~^|<>&%$#_{}\u2020]", lambda match: _MARKS[match.group()], text)
    # A bracket or a star at the head of a row would be an argument of the row before; a hyphen is no minus.
    marked = re.sub(r"^(?=[\[*])", "{}", marked.replace("+-", r"$\pm$"))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", marked)
