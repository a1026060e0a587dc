"""What the memory is worth: the value of its items, added up."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.item_values import by_group
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, percent, without_constants
from bench.results.kept_tables import VALUES, kept

SHOWN = 10
"""Rows of a data set: of more classes or sources, those worth least an item."""


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield values by source and by class, where `bench value --keep` has left them."""
    found = [kept(info.folder, VALUES) for info in analysis.run_table.runs]
    tables = [one for one in found if one is not None and len(one)]
    if not tables:
        return
    values = pd.concat(tables, ignore_index=True)
    for group in ("source", "class"):
        made = by_group(values, group)
        yield table(made, group)
        yield DataFile(f"worth_by_{group}", made)


def table(made: pd.DataFrame, group: str) -> Table:
    """Return values by source or class as a table."""
    rows = []
    least = made.groupby(["scenario", "dataset", "condition"], sort=False).head(SHOWN)
    for row in ({str(key): value for key, value in row.items()} for row in least.to_dict("records")):
        margin, misplaced = float(row["margin"]), float(row["misplaced"])
        rows.append(
            (
                *names_of(row),
                Cell(str(row[group]), str(row[group])),
                Cell(f"{row['items']:.0f}", float(row["items"])),
                Cell(f"{100 * row['shapley']:.2f}", float(row["shapley"])),
                Cell(f"{100 * row['each']:.4f}", float(row["each"])),
                Cell("-" if margin != margin else f"{margin:.3f}", margin),
                Cell("-" if misplaced != misplaced else percent(misplaced), misplaced),
            )
        )
    caption = (
        f"Exact Shapley values of a vote, judged by the other half of each class's images, by {group}, mean over "
        f"seeds: the {SHOWN} worth least an item. Points add up to the share of right votes. Margin: cosine to the mean"
        " of the item's class without it, less that to the nearest other; misplaced: the share of items where it is "
        "below 0."
    )
    head = ("scenario", "data set", "condition", group, "items", "value, points", "an item", "margin", "misplaced %")
    title = f"What the memory is worth, by {group}"
    return without_constants(Table(f"worth-{group}", title, caption, head, tuple(rows)))
