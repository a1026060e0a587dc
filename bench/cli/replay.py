"""``bench replay``: the queries of a run answered from another version of its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, terminal_width
from bench.cli.which import asks_run
from bench.explain.replay import Which
from bench.explain.versions import replay as replayed
from bench.reports.statistics.versions import changes
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.reports.tables.table import share
from bench.reports.utils.text import condition_text
from bench.utils.atomic import write_atomically


@click.command()
@asks_run(seed="all", session="the last")
@click.option("--version", help="A version of the pack, as `bench memory log` names it.")
@click.option("--as-of", metavar="DAY", help="The version that there was on a day: 2026-01-31, or with a time.")
@click.option(
    "--without", multiple=True, metavar="KIND:NAME", help="Leave out a source, licence, keyword, class or item."
)
@click.option("--out", type=PATH, help="Also write a CSV file with each answer before and after.")
def replay(
    run: Path,
    which: Which,
    version: str | None,
    as_of: str | None,
    without: Sequence[str],
    data: str | None,
    device: str,
    out: Path | None,
) -> None:
    """Answer the queries of a RUN from another version of its data, and say what changes.

    Episodes are dealt by the same draws and states are built as if the run had been made with that version; nothing in
    the run is changed. Differences are paired by query.
    """
    found = replayed(run, which, version=version, as_of=as_of, without=without, data=data, device=device)
    for name, (before, after) in found.versions.items():
        click.echo(f"{name}: version {before}, answered from {after}")
    rows = [
        [
            *(change.comparison.dataset, condition_text(change.comparison.condition), change.method),
            *(f"{100 * change.before:.1f}", f"{100 * change.after:.1f}"),
            share(
                change.comparison.difference.mean, change.comparison.difference.low, change.comparison.difference.high
            ),
            change.comparison.verdict,
            f"{change.answers} of {change.queries}",
            *(str(change.lost), str(change.won)),
        ]
        for change in changes(found.answers)
    ]
    heads = ["data set", "condition", "method", "before %", "after %", "after - before, points", "after is"]
    heads += ["other answers", "lost", "won"]
    for line in table_lines(heads, rows, left=(0, 1, 2, 6), width=terminal_width()):
        click.echo(line)
    for line in found.without:
        click.echo(f"not answered: {line}")
    if out is not None:
        write_atomically(out, exact_csv(found.answers))
        click.echo(f"{out}: each answer before and after")
