"""``bench report``: runs as a page, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, Whole, terminal_width
from bench.reports.analysis import Choices
from bench.reports.figures.style import FORMATS, Format
from bench.reports.report import build
from bench.results.run_folder import Store, runs_below
from bench.utils.names import shown
from bench.utils.threads import cores


def _formats(ctx: click.Context, param: click.Parameter, text: str) -> tuple[Format, ...]:
    """Return the formats that are named, each once."""
    wanted = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    strange = [name for name in wanted if name not in FORMATS]
    if strange or not wanted:
        raise click.BadParameter(f"{shown(text)} names no format of {', '.join(FORMATS)}.", ctx, param)
    return tuple(kind for kind in FORMATS if kind in wanted)


@click.command()
@click.argument("folders", nargs=-1, type=PATH)
@click.option("--out", type=PATH, help="Where the report is written.  [default: report]")
@click.option(
    "--galleries",
    default=0,
    type=Whole(0),
    help="Show so many queries of each data set with what they were answered from; makes states again.",
)
@click.option("--baseline", metavar="METHOD", help="Compare all methods with this one alone.  [default: all pairs]")
@click.option(
    "--for",
    "population",
    type=click.Choice(["images", "classes"]),
    default="images",
    show_default=True,
    help="What intervals speak for: new images of these classes, or new classes like these.",
)
@click.option(
    "--compare-unequal-labels", is_flag=True, help="Compare methods that saw different numbers of labels too, marked."
)
@click.option(
    "--formats",
    metavar="svg,png,pdf",
    default="svg",
    show_default=True,
    callback=_formats,
    help="What each figure is written as beside the page, joined by commas.",
)
@click.pass_context
def report(
    ctx: click.Context,
    folders: Sequence[Path],
    out: Path | None,
    galleries: int,
    baseline: str | None,
    population: str,
    compare_unequal_labels: bool,
    formats: tuple[Format, ...],
) -> None:
    """Summarise runs: a table here; report.html, tables and figures in OUT.

    FOLDERS are runs or folders of runs; without any, the folder `runs`. Leaves with status 1 if cells of them failed.
    """
    given = list(folders) or [Path("runs")]
    choices = Choices(baseline=baseline, classes=population == "classes", unequal_labels=compare_unequal_labels)
    click.echo(
        build(
            given,
            out or Path("report"),
            galleries=galleries,
            width=terminal_width(),
            choices=choices,
            processes=cores(),
            formats=formats,
        )
    )
    failed = sum(len(Store(run).failed()) for folder in given for run in runs_below(folder))
    if failed:
        click.echo(f"bench: {failed} cell{'s' * (failed > 1)} failed; go on with the same `bench run`", err=True)
        ctx.exit(1)
