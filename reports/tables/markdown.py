"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.tables.table import Table


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rule = ["---:" if right else "---" for right in table.numeric]
    lines = [f"## {table.title}", "", table.caption, "", _line(table.head), _line(rule)]
    lines += [_line([f"**{c.text}**" if c.bold else c.text for c in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
