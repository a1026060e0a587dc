"""``bench value``: what the items of a memory are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import PATH, Whole, terminal_width
from bench.cli.which import asks_run
from bench.explain.replay import Which
from bench.explain.value import value as valued
from bench.reports.metrics.item_values import GROUPS, by_group
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.reports.utils.text import condition_text
from bench.results.kept_tables import VALUES
from bench.results.kept_tables import keep as keep_table
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError


@click.command()
@asks_run(methods=False, seed="all", session="the last")
@click.option("--by", default="source", show_default=True, type=click.Choice(GROUPS), help="What to add up over.")
@click.option("--k", default=10, show_default=True, type=Whole(1), help="Voters of the utility.")
@click.option(
    "--utility",
    default="right",
    show_default=True,
    type=click.Choice(["right", "signed"]),
    help="The share of right votes, or weighed votes with wrong ones counted against.",
)
@click.option(
    "--judges",
    default="held-out",
    show_default=True,
    type=click.Choice(["held-out", "queries"]),
    help="Who judges: other items of the memory, or the queries, which takes --oracle.",
)
@click.option("--oracle", is_flag=True, help="Mark values judged by queries: a bound that nothing may be chosen by.")
@click.option("--top", default=20, show_default=True, type=Whole(1), help="Rows shown, the least worth first.")
@click.option("--keep", is_flag=True, help="Leave it in the run's folder, where `bench report` finds it.")
@click.option("--out", type=PATH, help="Also write a CSV file with the value of each item.")
def value(
    run: Path,
    which: Which,
    by: str,
    k: int,
    utility: Any,
    judges: Any,
    oracle: bool,
    data: str | None,
    device: str,
    top: int,
    keep: bool,
    out: Path | None,
) -> None:
    """Say what the labelled images in the memory of a RUN are worth, by source, class, keyword, licence or item.

    Shapley values of votes, judged by the other half of each class's images, and margins that find wrong labels. No
    query is looked at, unless --oracle says so.
    """
    if oracle and keep:
        raise BenchError("the values of an oracle are not kept for reports; leave --keep or --oracle out")
    found = valued(run, which, k=k, utility=utility, judges=judges, oracle=oracle, data=data, device=device)
    if oracle:
        click.echo("ORACLE: the queries judged; nothing may be chosen by these values")
    shown = by_group(found, by)
    rows = [
        [
            str(row["dataset"]),
            condition_text(str(row["condition"])),
            str(row[by]),
            f"{row['items']:.0f}",
            f"{100 * row['shapley']:.2f}",
            f"{100 * row['each']:.4f}",
            "-" if row["margin"] != row["margin"] else f"{row['margin']:.3f}",
            "-" if row["misplaced"] != row["misplaced"] else f"{100 * row['misplaced']:.1f}",
        ]
        for row in shown.head(top).to_dict("records")
    ]
    heads = ["data set", "condition", by, "items", "value, points", "an item", "margin", "misplaced %"]
    for line in table_lines(heads, rows, left=(0, 1, 2), width=terminal_width()):
        click.echo(line)
    if len(shown) > top:
        click.echo(f"{len(shown) - top} more; --top {len(shown)} shows all")
    if keep and len(found):
        click.echo(f"{keep_table(run, VALUES, found)}: for `bench report`")
    if out is not None:
        write_atomically(out, exact_csv(found))
        click.echo(f"{out}: the value of each item")
