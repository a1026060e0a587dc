"""Commands that read finished runs: ``bench report``, ``explain``, ``verify`` and ``export``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

RUN = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where the report is written.  [default: report]")
@click.option(
    "--galleries",
    default=0,
    type=click.IntRange(0),
    help="Show so many queries of each data set with what they were answered from; makes states again.",
)
@click.pass_context
def report(ctx: click.Context, folders: Sequence[Path], out: Path | None, galleries: int) -> None:
    """Summarise runs: a table here; report.html, tables and figures in OUT.

    FOLDERS are runs or folders of runs; without any, the folder `runs`. Leaves with status 1 if cells of them failed.
    """
    from bench.reports.report import build
    from bench.results.run_folder import Store, runs_below

    given = list(folders) or [Path("runs")]
    click.echo(build(given, out or Path("report"), galleries=galleries, width=_width()))
    failed = sum(len(Store(run).failed()) for folder in given for run in runs_below(folder))
    if failed:
        click.echo(f"bench: {failed} cell{'s' * (failed > 1)} failed; go on with the same `bench run`", err=True)
        ctx.exit(1)


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
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the images that a pack was made from.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where to compute.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write a page with the images.")
@click.option(
    "--top", default=8, show_default=True, type=click.IntRange(0), help="Neighbours shown here of each memory."
)
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
    from bench.explain.explain import explain
    from bench.explain.replay import Which
    from bench.reports.page.explanation import html as page
    from bench.reports.page.explanation import text
    from bench.utils.errors import BenchError

    if images is not None and html is None:
        raise BenchError("--images are shown on a page; give --html a file for it")
    which = Which(
        methods=tuple(methods),
        seed=seed,
        session=session,
        scenario=scenario,
        dataset=dataset,
        condition=dict(_pair(line) for line in condition),
    )
    (case,) = explain(one_run(run), query, which, exclude=exclude, relabel=relabel, data=data, device=device)
    if html is not None:
        from bench.data.thumbnails import thumbnails
        from bench.utils.atomic import write_atomically

        write_atomically(html, page(case, thumbnails(case.data, images)))
    click.echo(text(case, most=top, width=_width()))
    if html is not None:
        click.echo(f"\n{html}: the same with images")


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tolerance", default=1.0, show_default=True, type=click.FloatRange(0), help="Points of accuracy.")
@click.option("--any-encoder", is_flag=True, help="Compare across encoders, or where the paper's is not recorded.")
@click.pass_context
def verify(ctx: click.Context, folders: Sequence[Path], tolerance: float, any_encoder: bool) -> None:
    """Check a RUN of a paper's table or figure against the published numbers.

    Leaves with status 0 if all that can be compared is within the tolerance, 1 if something is outside, 2 if nothing
    can be compared.
    """
    from bench.reports.verify import text
    from bench.reports.verify import verify as check

    checks, warnings = check(list(folders), tolerance, any_encoder=any_encoder)
    click.echo(text(checks, warnings, tolerance))
    verdicts = {c.verdict for c in checks}
    ctx.exit(1 if "outside" in verdicts else 0 if "within" in verdicts else 2)


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(["tensorboard", "mlflow", "wandb"]), help="Tracker.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New or empty folder.")
def export(folders: Sequence[Path], to: str, out: Path) -> None:
    """Write a RUN as the files of an experiment tracker, offline.

    Needs `pip install 'retrieval-bench[export]'`.
    """
    from bench.reports.trackers.export import export as write

    how, warnings = write(list(folders), to, out)
    for warning in warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"next: {how}")


def one_run(folder: Path) -> Path:
    """Return a run's folder, or the only run below a folder."""
    from bench.results.run_folder import runs_below
    from bench.utils.errors import BenchError

    found = runs_below(folder)
    if len(found) != 1:
        what = f"{len(found)} runs are in {folder}: name one of them" if found else f"no run in {folder}"
        raise BenchError(f"{what}; a run is a folder with run.json, made by `bench run`")
    return found[0]


def _width() -> int | None:
    """Return the columns of the terminal; None in a pipe, where every row stays one line for what reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _pair(line: str) -> tuple[str, str]:
    from bench.utils.errors import BenchError

    key, equals, value = line.partition("=")
    if not equals:
        raise BenchError(f"--condition {line!r} is not KEY=VALUE; write for instance shots=4")
    return key.strip(), value.strip()
