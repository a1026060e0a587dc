"""Tables and texts as lines for a terminal, wrapped at its width, or for a pipe, one line a row."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal

from rich.box import Box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.utils.names import printable

_UNLIMITED = 100_000
"""Columns that no table reaches, for text that is not wrapped."""

_NAME = 24
"""Most columns that a name without blanks takes before it is broken."""

_RULE = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A table with a line below its heads and no other."""


def table_lines(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[int] = (0,),
    width: int | None = None,
    rule: bool = True,
) -> list[str]:
    """Return a table as lines.

    Parameters
    ----------
    heads : sequence of str
    rows : sequence of sequences of str
        As many texts in each as there are heads.
    left : sequence of int
        Columns whose texts stand at the left; numbers stand at the right.
    width : int, optional
        Columns of the terminal, at which cells wrap; without it each row is one line.
    rule : bool
        Whether a line stands below the heads.
    """
    gap = 2
    columns = [list(map(printable, column)) for column in zip(heads, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    if width is not None:
        fitted = _fitted(columns, width - gap * (len(columns) - 1))
        # Bounds go to a line of their own before they are broken.
        columns = [
            ["\n".join(_at_bounds(text)) for text in column] if now < before else column
            for column, now, before in zip(columns, fitted, widths, strict=True)
        ]
        widths = fitted
    grid = Grid(box=_RULE if rule else None, show_edge=False, padding=(0, gap - rule, 0, 0), pad_edge=False)
    for number, (column, taken) in enumerate(zip(columns, widths, strict=True)):
        side: Literal["left", "right"] = "left" if number in left else "right"
        grid.add_column(Text(column[0]), justify=side, overflow="fold", header_style="", width=taken)
    for row in list(zip(*columns, strict=True))[1:]:
        grid.add_row(*map(Text, row))
    return _printed(grid, width)


def _fitted(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return widths that fit into some room: the widest columns wrap first, at bounds, then at words, then anywhere."""
    widths = [max(map(len, column)) for column in columns]
    for floors in (_least(columns, _at_bounds), _least(columns, str.split), [1] * len(columns)):
        while sum(widths) > room and any(now > floor for now, floor in zip(widths, floors, strict=True)):
            shrinking = [now if now > floor else 0 for now, floor in zip(widths, floors, strict=True)]
            widths[shrinking.index(max(shrinking))] -= 1
    return widths


def _least(columns: Sequence[Sequence[str]], parts: Callable[[str], Sequence[str]]) -> list[int]:
    """Return the width of each column that breaks no part of its texts, and no word of its head."""
    texts = [[*head.split(), *(part for text in rest for part in parts(text))] for head, *rest in columns]
    return [min(_NAME, max(map(len, column), default=1)) for column in texts]


def _at_bounds(text: str) -> list[str]:
    """Return the lines of a score and its bounds."""
    return text.replace(" [", "\n[").split("\n")


def text_lines(text: str, width: int | None = None) -> list[str]:
    """Return a text as lines, wrapped at a width; without it, as one line."""
    return _printed(Text(printable(text)), width)


def _printed(shown: Grid | Text, width: int | None) -> list[str]:
    """Return what rich prints, without colours and without blanks at the ends of lines."""
    sink = io.StringIO()
    console = Console(
        file=sink,
        width=width or _UNLIMITED,
        color_system=None,
        force_terminal=False,
        # In a notebook it would show the text there, and leave the file empty.
        force_jupyter=False,
    )
    console.print(shown, highlight=False)
    return [line.rstrip() for line in sink.getvalue().splitlines()]
