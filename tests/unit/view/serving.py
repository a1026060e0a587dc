"""A view in a thread of this process, for tests that ask it as a page does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from bench.serving.server import listen
from bench.view.app import ViewApp
from bench.view.board import Board
from bench.view.command import LIMITS
from bench.view.questions import Questions


@contextmanager
def viewing(folders: Sequence[Path], *, data: Any = None, **options: Any) -> Iterator[tuple[str, Board]]:
    """Yield the address of a view over runs, and its board."""
    board = Board(folders)
    options = {"limits": LIMITS, "ask": lambda of: Questions(of, data=data)} | options
    app = ViewApp(board, **options)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app.asgi(), log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", board
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
