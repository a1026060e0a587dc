"""From folders of runs to a page that shows them."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.serving.gate import address_of, names_of
from bench.serving.limits import Limits
from bench.serving.server import listen, serve, token_for
from bench.view.app import ViewApp
from bench.view.board import Board

if TYPE_CHECKING:
    from bench.view.questions import Questions

LIMITS = Limits(request_bytes=2**20, per_second=50, burst=400)
"""A page asks some twenty times at a click."""


def run(
    folders: Sequence[Path],
    *,
    host: str,
    port: int,
    data: str | None = None,
    images: Path | None = None,
    device: str = "cpu",
    show: bool = False,
) -> None:
    """Show runs until the process is asked to end.

    Raises
    ------
    BenchError
        For a folder without runs, a port in use, and an address beyond this machine without a token.
    """
    token = token_for(host)
    board = Board(folders)
    with listen(host, port) as listening:
        board.look()

        def ask(of: Board) -> Questions:
            # Torch and the methods are imported for the first question, not for the page.
            from bench.view.questions import Questions

            return Questions(of, data=data, images=images, device=device)

        app = ViewApp(board, limits=LIMITS, ask=ask, token=token, hosts=names_of(host, token)).asgi()
        address = address_of(host, listening.getsockname()[1])
        click.echo(f"the runs are shown at {address}/{', which asks for the token' if token is not None else ''}")
        if show:
            threading.Timer(0.3, partial(webbrowser.open, f"{address}/")).start()
        serve(app, listening)
