"""Tables as values; Markdown, LaTeX and the page draw the same values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.reports.utils.text import condition_text, natural


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, what it sorts by, and whether it is set in bold."""

    text: str
    value: float | str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its file name, title, what to know about it, heads, and rows."""

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Whether a column sorts by numbers, and is set to the right."""
        return tuple(all(isinstance(r[c].value, float) for r in self.rows) for c in range(len(self.head)))


def percent(value: float, decimals: int = 1) -> str:
    """Return a share in per cent, and no minus before a zero."""
    return f"{round(100 * value, decimals) + 0.0:.{decimals}f}"


def share(value: float, low: float, high: float) -> str:
    """Return a share and its bounds in per cent, ``82.3 [80.1, 84.5]``; a dash for what was not measured."""
    if math.isnan(value):
        return "-"
    return percent(value) if math.isnan(low) else f"{percent(value)} [{percent(low)}, {percent(high)}]"


def probability(p: float) -> str:
    """Return a p-value with two digits that matter, ``< 0.0001`` below that, a dash for none."""
    if math.isnan(p):
        return "-"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def without_constants(table: Table) -> Table:
    """Return the table with what its first three columns say in all rows moved to the caption.

    A column that is the same in all rows goes; of conditions that differ, the parts that all have in common go.
    """
    if not table.rows:
        return table
    same = [c for c in range(3) if len({row[c].text for row in table.rows}) == 1]
    said = [f"{table.head[c]} {table.rows[0][c].text}" for c in same]
    rows = table.rows
    if (c := table.head.index("condition") if "condition" in table.head[:3] else None) not in (None, *same):
        assert c is not None
        common = set.intersection(*(set(row[c].text.split(", ")) for row in rows))
        parts = [part for part in rows[0][c].text.split(", ") if part in common]
        said += [f"condition {', '.join(parts)}"] if parts else []
        rows = tuple(_less(row, c, common) for row in rows)
    if not said:
        return table
    keep = [c for c in range(len(table.head)) if c not in same]
    return Table(
        table.name,
        table.title,
        f"{table.caption} All rows: {', '.join(said)}.",
        tuple(table.head[c] for c in keep),
        tuple(tuple(row[c] for c in keep) for row in rows),
    )


def _less(row: tuple[Cell, ...], column: int, common: set[str]) -> tuple[Cell, ...]:
    text = ", ".join(part for part in row[column].text.split(", ") if part not in common) or "-"
    return tuple(Cell(text, text, cell.bold) if c == column else cell for c, cell in enumerate(row))


def ordered(means: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows by group, best accuracy first, oracles last."""
    table = means.assign(order=means["condition"].map(natural), oracle=means.get("selection", "") == "oracle")
    keys = ["scenario", "dataset", "order", "oracle", "accuracy", "method"]
    table = table.sort_values(keys, ascending=[True, True, True, True, False, True])
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def names_of(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells that say what a row is about."""
    words = condition_text(str(row["condition"]))
    texts = (str(row["scenario"]), str(row["dataset"]), words)
    return tuple(Cell(text, text) for text in texts)
