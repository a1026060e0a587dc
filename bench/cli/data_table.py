"""``bench data table``: the founding paper's tables of data, for data at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from bench.cli import completion
from bench.cli.options import PATH, Whole, terminal_width
from bench.data.registry import resolve
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.runner.experiments import OF_DATA
from bench.runner.experiments.data_tables import first_texts, sizes
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError


@click.command()
@click.argument("which", type=click.Choice(list(OF_DATA)))
@click.argument("names", nargs=-1, required=True, shell_complete=completion.datasets)
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="t10: of class splits that are drawn.")
@click.option("--class", "classes", multiple=True, help="t18: a class.  [default: the first that has texts]")
@click.option("--first", type=Whole(1), default=3, show_default=True, help="t18: texts of a class.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--out", type=PATH, help="Also write a CSV file.")
def table(
    which: str,
    names: Sequence[str],
    seed: int,
    classes: Sequence[str],
    first: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """Print a table of the founding paper for data at hand.

    t10 has, of each data set, classes, class split, images and memory items a class; t18 the first texts of a class.
    NAMES are data sets or packs' folders.
    """
    if which == "t10":
        if classes:
            raise BenchError("--class is for t18; t10 has a row a data set")
        rows: list[dict[str, Any]] = sizes([resolve(name) for name in names], seed=seed)
    else:
        rows = [{"dataset": name, **row} for name in names for row in first_texts(name, classes, first=first)]
    if out is not None:
        write_atomically(out, exact_csv(pd.DataFrame(rows)))
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(which, rows)))


def _lines(which: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    if which == "t18":
        heads, shown = ["data set", "class", "text", "source"], ("dataset", "class", "text", "source")
        texts = [[str(row[key]) for key in shown] for row in rows]
        return table_lines(heads, texts, left=(0, 1, 2, 3), width=terminal_width())
    heads = ["data set", "classes", "seen/val/unseen", "split", "support", "validation", "queries"]
    heads += ["images a class", "texts a class", "class texts"]
    cells = [
        [
            *(row["dataset"], str(row["classes"]), f"{row['seen']}/{row['validation']}/{row['unseen']}", row["split"]),
            *(str(row[f"{role}_images"]) for role in ("support", "validation", "query")),
            *(_spread(row, what) for what in ("image_memory", "text_memory")),
            str(row["class_texts"]),
        ]
        for row in rows
    ]
    return table_lines(heads, cells, left=(0, 3), width=terminal_width())


def _spread(row: dict[str, Any], what: str) -> str:
    """Return the median with the least and the largest number of items a class."""
    if not row[what]:
        return "-"
    least, median, most = (row[f"{what}_{end}"] for end in ("least", "median", "most"))
    return str(median) if least == most else f"{median} ({least}-{most})"
