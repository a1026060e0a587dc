"""Commands that read finished runs: ``bench report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where the report is written.  [default: report]")
def report(folders: Sequence[Path], out: Path | None) -> None:
    """Summarise runs: a table here; report.html, tables and figures in OUT.

    FOLDERS are runs or folders of runs; without any, the folder `runs`.
    """
    from reports.build import build

    click.echo(build(list(folders) or [Path("runs")], out or Path("report")))
