"""``bench verify`` and ``bench export``: runs beside published numbers and in trackers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, Number
from bench.reports.trackers.export import export as write
from bench.reports.verify import text
from bench.reports.verify import verify as check


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option("--tolerance", default=1.0, show_default=True, type=Number(0), help="Points of accuracy.")
@click.option("--any-encoder", is_flag=True, help="Compare across encoders, or where the paper's is not recorded.")
@click.pass_context
def verify(ctx: click.Context, folders: Sequence[Path], tolerance: float, any_encoder: bool) -> None:
    """Check a RUN of a paper's table or figure against the published numbers.

    Leaves with status 0 if all that can be compared is within the tolerance, 1 if something is outside, 2 if nothing
    can be compared.
    """
    checks, warnings = check(list(folders), tolerance, any_encoder=any_encoder)
    click.echo(text(checks, warnings, tolerance))
    verdicts = {c.verdict for c in checks}
    ctx.exit(1 if "outside" in verdicts else 0 if "within" in verdicts else 2)


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option("--to", required=True, type=click.Choice(["tensorboard", "mlflow", "wandb"]), help="Tracker.")
@click.option("--out", required=True, type=PATH, help="New or empty folder.")
def export(folders: Sequence[Path], to: str, out: Path) -> None:
    """Write a RUN as the files of an experiment tracker, offline.

    Needs `pip install 'retrieval-bench[export]'`.
    """
    how, warnings = write(list(folders), to, out)
    for warning in warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"next: {how}")
