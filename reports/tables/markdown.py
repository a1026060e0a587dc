"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.reports.tables.table import Table
from bench.utils.names import printable


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rule = ["---:" if right else "---" for right in table.numeric]
    lines = [f"## {words(table.title)}", "", words(table.caption), "", _line([*map(name, table.head)]), _line(rule)]
    lines += [_line([f"**{name(c.text)}**" if c.bold else name(c.text) for c in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def words(text: str) -> str:
    """Return words with the names in them on one line, in which nothing is a tag, a link, an image or an entity.

    What stands between backticks stays code.
    """
    text = re.sub(r"&(?=#?\w+;)", "&amp;", printable(text).replace("\\", "\\\\")).replace("<", "&lt;")
    # Bounds are in brackets; what follows them makes a link.
    return re.sub(r"\]([(\[:])", r"]\\\1", re.sub(r"!(?=\[)", r"\!", text))


def name(text: str) -> str:
    """Return a name as :func:`words` does, and with no emphasis, code or column in it."""
    return re.sub(r"([`*~|]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", words(text))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
