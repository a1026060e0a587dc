"""``bench explain``: what answers rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import PATH, Whole, terminal_width
from bench.data.thumbnails import thumbnails
from bench.explain.explain import explain as explained
from bench.explain.replay import Which
from bench.reports.page.explanation import html as page
from bench.reports.page.explanation import text
from bench.results.run_folder import runs_below
from bench.utils.atomic import write_atomically
from bench.utils.errors import BenchError

RUN = click.argument("run", metavar="RUN", type=PATH)


@click.command()
@RUN
@click.option("--query", required=True, metavar="ID", help="Id of the query.")
@click.option("--method", "methods", multiple=True, help="Method, as the run names it; may be repeated.")
@click.option("--seed", type=int, help="Seed.  [default: the first that has the query]")
@click.option("--session", type=int, help="Session.  [default: the last that asked the query]")
@click.option("--scenario", help="Scenario, for a run of several.")
@click.option("--dataset", help="Data set, for a run of several.")
@click.option("--condition", multiple=True, metavar="KEY=VALUE", help="Condition, for a run of several: shots=4.")
@click.option("--exclude", multiple=True, metavar="ITEM", help="Leave an item out and say what changes.")
@click.option("--relabel", multiple=True, metavar="ITEM=CLASS", help="Find an item under another class.")
@click.option("--data", help="The data set's pack, where its name no longer leads to it.")
@click.option("--images", type=PATH, help="Folder of the images that a pack was made from.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where to compute.")
@click.option("--html", type=PATH, help="Also write a page with the images.")
@click.option("--top", default=8, show_default=True, type=Whole(0), help="Neighbours shown here of each memory.")
def explain(
    run: Path,
    query: str,
    methods: Sequence[str],
    seed: int | None,
    session: int | None,
    scenario: str | None,
    dataset: str | None,
    condition: Sequence[str],
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
    which = Which(
        methods=tuple(methods),
        seed=seed,
        session=session,
        scenario=scenario,
        dataset=dataset,
        condition=condition_of(condition),
    )
    (case,) = explained(one_run(run), query, which, exclude=exclude, relabel=relabel, data=data, device=device)
    if html is not None:
        write_atomically(html, page(case, thumbnails(case.data, images)))
    click.echo(text(case, most=top, width=terminal_width()))
    if html is not None:
        click.echo(f"\n{html}: the same with images")


def one_run(folder: Path) -> Path:
    """Return a run's folder, or the only run below a folder."""
    found = runs_below(folder)
    if len(found) != 1:
        what = f"{len(found)} runs are in {folder}: name one of them" if found else f"no run in {folder}"
        raise BenchError(f"{what}; a run is a folder with run.json, made by `bench run`")
    return found[0]


def condition_of(lines: Sequence[str]) -> dict[str, str]:
    """Return the values of a condition from ``KEY=VALUE``."""
    found = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            raise BenchError(f"--condition {line!r} is not KEY=VALUE; write for instance shots=4")
        found[key.strip()] = value.strip()
    return found
