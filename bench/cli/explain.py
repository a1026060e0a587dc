"""``bench explain``: what answers rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, Whole, terminal_width
from bench.cli.which import asks_run
from bench.data.thumbnails import thumbnails
from bench.explain.explain import explain as explained
from bench.explain.replay import Which
from bench.reports.page.explanation import html as page
from bench.reports.page.explanation import text
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError


@click.command()
@asks_run(seed="the first that has the query", session="the last that asked the query")
@click.option("--query", required=True, metavar="ID", help="Id of the query.")
@click.option("--exclude", multiple=True, metavar="ITEM", help="Leave an item out and say what changes.")
@click.option("--relabel", multiple=True, metavar="ITEM=CLASS", help="Find an item under another class.")
@click.option("--images", type=PATH, help="Folder of the images that a pack was made from.")
@click.option("--html", type=PATH, help="Also write a page with the images.")
@click.option("--top", default=8, show_default=True, type=Whole(0), help="Neighbours shown here of each memory.")
def explain(
    run: Path,
    which: Which,
    query: str,
    exclude: Sequence[str],
    relabel: Sequence[str],
    data: str | None,
    images: Path | None,
    device: str,
    html: Path | None,
    top: int,
) -> None:
    """Say why the methods of a RUN answered a query as they did, and what an edited memory would change.

    The episode is dealt again and the states are made again from it; nothing in the run is changed.
    """
    if images is not None and html is None:
        raise BenchError("--images are shown on a page; give --html a file for it")
    (case,) = explained(run, query, which, exclude=exclude, relabel=relabel, data=data, device=device, removed=True)
    if html is not None:
        write_atomically(html, page(case, thumbnails(case.data, images)))
    click.echo(text(case, most=top, width=terminal_width()))
    if html is not None:
        click.echo(f"\n{html}: the same with images")
