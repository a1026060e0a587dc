"""Commands on the cache of encoded features: ``bench data cache``."""

from __future__ import annotations

import dataclasses
import json

import click

from bench.cache import cache_root
from bench.cli.options import Number
from bench.data.cache_listing import list_spaces
from bench.data.cache_listing import prune as remove
from bench.data.cache_listing import verify as check
from bench.utils.errors import BenchError


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects, each with a name.")
def list_cache(as_json: bool) -> None:
    """List what is kept."""
    entries = [{"name": entry.folder.name, **dataclasses.asdict(entry)} for entry in list_spaces(cache_root())]
    if as_json:
        click.echo(json.dumps(entries, indent=2, default=str))
        return
    for entry in entries:
        size, idle = entry["size_bytes"] / 2**20, entry["idle_days"]
        click.echo(
            f"{entry['name']}  {entry['encoder']} {entry['kind']} {entry['precision']}  {entry['rows']} rows, "
            f"{size:.1f} MiB, idle {idle:.1f} days{'' if entry['readable'] else ', of another version'}"
        )
    click.echo(f"{len(entries)} spaces in {cache_root()}")


@click.command()
def verify() -> None:
    """Read everything back and compare it with its hashes."""
    count, damaged = check(cache_root())
    for damage in damaged:
        click.echo(f"{damage.path}: {damage.reason}", err=True)
    click.echo(f"{count} files, {len(damaged)} damaged")
    if damaged:
        raise BenchError("the cache holds damaged files; remove them with `bench data cache prune`")


@click.command()
@click.option("--idle-days", type=Number(0), help="Remove what has not been used for so many days.")
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
def prune(idle_days: float | None, everything: bool) -> None:
    """Remove damaged and half-written files, and what --idle-days or --all say."""
    files, size = remove(cache_root(), idle_days=idle_days, everything=everything)
    click.echo(f"removed {files} files, {size / 2**20:.1f} MiB")
