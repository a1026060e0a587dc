"""``bench perf``: how fast this machine is."""

from __future__ import annotations

import json

import click

from bench.device.choose import choose_device
from bench.perf.measure import as_text, measure


@click.command()
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="An object with limits and comparisons, in seconds.")
def perf(device: str, as_json: bool) -> None:
    """Measure this machine's limits, and the harness beside what one would use instead; takes about a minute."""
    found = measure(choose_device(device), lambda what: click.echo(f"measuring {what}", err=True))
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))
