"""``bench choose``: which method to take under a budget, from runs or by a race."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli import completion
from bench.cli.options import ENCODER_HELP, PATH, Number, Whole, terminal_width, warn
from bench.reports.analysis import Analysis
from bench.reports.choosing.budgets import Budget, choices
from bench.reports.choosing.tables import as_frame, table
from bench.reports.choosing.words import sentence
from bench.reports.figures.accuracy_front import choice_figure
from bench.reports.page.html import render_choice
from bench.reports.tables.console import table_lines, text_lines
from bench.reports.tables.files import csv_bytes
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

_RACE = ("encoder", "budget", "methods", "settings", "memory", "seed", "device")
_RUNS = ("max_ms", "max_mib", "labels")


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, type=PATH)
@click.option(
    "--max-ms", type=Number(0), help="Most milliseconds of an answer to one query; needs `bench run --latency`."
)
@click.option("--max-mib", type=Number(0), help="Most mebibytes of state.")
@click.option("--labels", type=Number(0), help="Most labelled images of each class.")
@click.option("--out", type=PATH, help="Of runs: a page (.html) or numbers (.csv). Of a race: the winner's folder.")
@click.option("--data", shell_complete=completion.datasets, help="Race on this folder of images, or data set, instead.")
@click.option("--budget", metavar="TIME", default="10m", show_default=True, help="Of a race: 90s, 10m, 1.5h.")
@click.option("--encoder", help=f"Of a race: {ENCODER_HELP}")
@click.option("--methods", default="", shell_complete=completion.methods, help="Of a race.  [default: six quick ones]")
@click.option("--settings", type=Whole(1), default=1, show_default=True, help="Of each method in a race.")
@click.option("--memory", multiple=True, metavar="DATA", help="Of a race: items to retrieve from too.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of a race.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Of a race.")
@click.pass_context
def choose(ctx: click.Context, /, folders: Sequence[Path], data: str | None, out: Path | None, **options: Any) -> None:
    """Say which method to choose under a budget: the best that keeps it, what is as good, and the next step's price.

    Each RUN is a run or a folder of runs; without any, the folder `runs`. With --data, methods race on held-out
    labelled images instead, until one is shown to be the best or the time is over, and the winner is fitted to all.
    """
    given = {name for name in options if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    others = [name for name in (_RUNS if data is not None else _RACE) if name in given]
    if others or (data is not None and folders):
        what = f"--{others[0].replace('_', '-')}" if others else str(folders[0])
        belongs = "runs" if data is not None else "a race, and there is no --data"
        raise BenchError(f"{what} is for {belongs}; choose from runs, or race with --data")
    if data is not None:
        from bench.cli.race import race

        race(data, out=out, **{name: options[name] for name in _RACE})
        return
    _from_runs(
        list(folders) or [Path("runs")],
        Budget(ms=options["max_ms"], mib=options["max_mib"], labels=options["labels"]),
        out,
    )


def _from_runs(folders: Sequence[Path], budget: Budget, out: Path | None) -> None:
    if out is not None and out.suffix not in (".html", ".csv"):
        raise BenchError(f"{out} ends with neither .html nor .csv; name it so")
    analysis = Analysis.of(folders)
    made, known = choices(analysis, budget)
    said = [sentence(choice, budget) for choice in made]
    whole = table(made, budget, known.ms_means)
    width = terminal_width()
    rows = [[cell.text for cell in row] for row in whole.rows]
    left = [column for column, number in enumerate(whole.numeric) if not number]
    lines = [line for text in said for line in text_lines(text, width)]
    click.echo("\n".join([*lines, "", *table_lines(whole.head, rows, left=left, width=width)]))
    warn(analysis.warnings)
    if out is None:
        return
    if out.suffix == ".csv":
        write_atomically(out, csv_bytes(as_frame(made)))
    else:
        figures = [choice_figure(choice, analysis.methods, budget, known.ms_means) for choice in made]
        page = render_choice(said, [drawn for drawn in figures if drawn is not None], whole, analysis.warnings)
        write_atomically(out, page)
    click.echo(f"{out}: the choice")
