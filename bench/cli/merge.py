"""``bench merge``: the shards of a run as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, cells
from bench.runner.parallel.merge_shards import merge as merged


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, help="Folder that runs are kept in.  [default: runs]")
def merge(folders: Sequence[Path], out: Path | None) -> None:
    """Put the shards of one run together: FOLDERS are what `bench run --shard` wrote, or hold it."""
    folder, count = merged(folders, out or Path("runs"))
    click.echo(f"{cells(count)} in {folder}")
    click.echo(f"next: bench report {folder}")
