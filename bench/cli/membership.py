"""``bench membership``: whether removed items can still be found in what a method holds."""

from __future__ import annotations

from pathlib import Path

import click

from bench.classifier.wilson import wilson
from bench.cli.options import PATH, Whole, terminal_width
from bench.cli.which import asks_run
from bench.explain.membership import LEVEL, SHADOWS, STATES, WORLDS, powers
from bench.explain.membership import membership as tested
from bench.explain.replay import Which
from bench.reports.tables.console import table_lines
from bench.reports.tables.files import exact_csv
from bench.reports.utils.text import condition_text
from bench.utils.atomic import write_atomically


@click.command()
@asks_run(seed="all", session="the last")
@click.option("--shadows", default=SHADOWS, show_default=True, type=Whole(8), help="Memories to learn from.")
@click.option("--worlds", default=WORLDS, show_default=True, type=Whole(1), help="Memories that are tested.")
@click.option("--out", type=PATH, help="Also write a CSV file with each test.")
def membership(
    run: Path, which: Which, shadows: int, worlds: int, data: str | None, device: str, out: Path | None
) -> None:
    """Test whether items can be found in the states of a RUN's methods: left in, and after they were removed.

    A likelihood-ratio test with shadow memories. After an exact removal it finds as many items as it takes strangers
    for members; how many it finds that were left in says what that is worth. Nothing in the run is changed.
    """
    found, without = tested(run, which, shadows=shadows, worlds=worlds, data=data, device=device)
    if len(found):
        rows = []
        for row in powers(found).to_dict("records"):
            shares = [_share(float(row[key]), int(row["items"])) for key in STATES]
            about = [str(row["dataset"]), condition_text(str(row["condition"])), str(row["method"]), str(row["how"])]
            rows.append([*about, str(row["items"]), *shares])
        click.echo(f"Items found %, at a level of {100 * LEVEL:g} %; 95 % intervals over items of these memories")
        heads = ["data set", "condition", "method", "removed by", "tests", "left in", "removed", "never there"]
        for line in table_lines(heads, rows, left=(0, 1, 2, 3), width=terminal_width()):
            click.echo(line)
    for line in without:
        click.echo(f"not tested: {line}")
    if out is not None:
        write_atomically(out, exact_csv(found))
        click.echo(f"{out}: each test")


def _share(share: float, n: int) -> str:
    low, high = wilson(round(share * n), n)
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
