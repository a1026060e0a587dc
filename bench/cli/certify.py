"""``bench certify``: how many edits of the memory leave answers as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import PATH, terminal_width
from bench.cli.which import asks_run
from bench.explain.certify import EDITS, MOST
from bench.explain.certify import certify as certified
from bench.explain.replay import Which
from bench.reports.metrics.certified import certified_accuracy
from bench.reports.statistics.certified_tests import certified_comparisons
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.reports.tables.table import probability, share
from bench.reports.utils.text import condition_text
from bench.results.kept_tables import CERTIFICATES
from bench.results.kept_tables import keep as keep_table
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@asks_run(seed="all", session="the last")
@click.option("--edit", "edits", multiple=True, type=click.Choice(EDITS), help="Kind of edit.  [default: all]")
@click.option("--most", default=MOST, show_default=True, type=click.IntRange(1, 1024), help="Most edits.")
@click.option(
    "--compare",
    "compared",
    multiple=True,
    type=click.IntRange(0, 1024),
    help="Also compare methods, paired by query, after so many edits; may be repeated.",
)
@click.option("--keep", is_flag=True, help="Leave it in the run's folder, where `bench report` finds it.")
@click.option("--out", type=PATH, help="Also write a CSV file with the certificate of each answer.")
def certify(
    run: Path,
    which: Which,
    edits: Sequence[Any],
    most: int,
    compared: Sequence[int],
    data: str | None,
    device: str,
    keep: bool,
    out: Path | None,
) -> None:
    """Say how many items of the memory must be removed, relabelled or inserted to change the answers of a RUN.

    Shows the accuracy that no so many edits can take away. States are built again; the run's records stay.
    """
    beyond = [number for number in compared if number > most]
    if beyond:
        raise BenchError(f"--compare {beyond[0]} is beyond what is certified, --most {most}; raise it or compare fewer")
    found, without = certified(run, which, edits=tuple(edits) or EDITS, most=most, data=data, device=device)
    if len(found):
        numbers = [r for r in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if r < most] + [most]
        shown = certified_accuracy(found, numbers)
        rows = [
            [
                str(row["dataset"]),
                condition_text(str(row["condition"])),
                *(str(row[key]) for key in ("edit", "method")),
                *(f"{100 * row[r]:.1f}" for r in numbers),
                "exact" if row["exact"] == 1 else "bound",
            ]
            for row in shown.to_dict("records")
        ]
        heads = ["data set", "condition", "edit", "method", *(f"{r}" for r in numbers), "beyond 1"]
        click.echo("Accuracy % that so many edits cannot take away, mean over seeds")
        for line in table_lines(heads, rows, left=(0, 1, 2, 3), width=terminal_width()):
            click.echo(line)
    for line in _comparisons(found, compared) if len(found) else ():
        click.echo(line)
    for line in without:
        click.echo(f"no certificate: {line}")
    if keep and len(found):
        click.echo(f"{keep_table(run, CERTIFICATES, found)}: for `bench report`")
    if out is not None:
        write_atomically(out, exact_csv(found))
        click.echo(f"{out}: the certificate of each answer")


def _comparisons(found: pd.DataFrame, numbers: Sequence[int]) -> Iterator[str]:
    """Yield a table of differences between methods, for each number of edits."""
    for number in numbers:
        rows = [
            [
                *(one.dataset, condition_text(one.condition), edit, one.a, one.b),
                share(one.difference.mean, one.difference.low, one.difference.high),
                *(probability(one.p_holm), one.verdict),
            ]
            for edit, one in certified_comparisons(found, number)
        ]
        heads = ["data set", "condition", "edit", "a", "b", "a - b, points", "p (Holm)", "a is"]
        yield f"What {number} {'edit' if number == 1 else 'edits'} cannot take away, paired by query"
        yield from table_lines(heads, rows, left=(0, 1, 2, 3, 4, 7), width=terminal_width())
        beyond = found[~found["exact"] & (found["least"] <= number)]
        for (method, edit), _ in beyond.groupby(["method", "edit"], sort=False):
            yield f"{method}, {edit}: a lower bound is compared; it may stand more"
