"""``bench view``: runs as a local page, live while they go."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from bench.cli.options import PATH, notices_alone
from bench.utils.errors import BenchError


@click.command()
@click.argument("folders", nargs=-1, type=PATH, metavar="[RUNS]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Other machines need BENCH_SERVE_TOKEN.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True, help="0 is any that is free.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--data", help="The data set's pack, where its name no longer leads to it.")
@click.option("--images", type=PATH, help="Folder of the images that a pack was made from.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="cpu", show_default=True, help="Where to compute.")
def view(
    folders: Sequence[Path],
    host: str,
    port: int,
    show: bool,
    data: str | None,
    images: Path | None,
    device: str,
) -> None:
    """Show runs as a local page, live while they go: progress, leaderboard, curves, answers side by side and edited.

    RUNS are runs or folders of runs; without any, the folder `runs`. Nothing in them is changed. Needs `pip install
    'retrieval-bench[serve]'`.
    """
    if any(find_spec(needed) is None for needed in ("starlette", "uvicorn")):
        raise BenchError("bench view needs starlette and uvicorn; pip install 'retrieval-bench[serve]'")
    from bench.view.command import run

    with notices_alone():
        run(list(folders) or [Path("runs")], host=host, port=port, data=data, images=images, device=device, show=show)
