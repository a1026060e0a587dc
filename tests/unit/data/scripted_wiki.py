"""A scripted wiki on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.data.web import (
    WikiClient,
)

TEXT = (
    "The crane is a large bird of the family Gruidae. It was described by Dr. Smith in 1758, e.g. in his book.\n"
    "Habitat\nIt lives in wet places! Does it migrate in autumn? Yes, it does so every year.\nSee also"
)


def page(title: str, revision: int, text: str = TEXT, **more: Any) -> dict[str, Any]:
    """A page as the real API replies, formatversion 2."""
    return {
        "pageid": revision * 10,
        "ns": 0,
        "title": title,
        "extract": text,
        "revisions": [{"revid": revision, "parentid": revision - 1, "timestamp": "2026-01-02T03:04:05Z"}],
        "fullurl": f"https://en.wikipedia.org/wiki/{title.replace(' ', '_')}",
        **more,
    }


class Wiki:
    """A scripted wiki: pages by title, hits by search, and failures that come first."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.redirects: dict[str, str] = {}
        self.hits: dict[str, list[str]] = {}
        self.failures: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[dict[str, str]] = []
        self.agents: list[str] = []

    def reply(self, query: dict[str, str]) -> dict[str, Any]:
        if query.get("list") == "search":
            titles = self.hits.get(query["srsearch"], [])
            return {"batchcomplete": True, "query": {"search": [{"ns": 0, "title": t} for t in titles]}}
        title = query["titles"]
        found: dict[str, Any] = {}
        if title in self.redirects:
            found["redirects"] = [{"from": title, "to": self.redirects[title]}]
            title = self.redirects[title]
        found["pages"] = [self.pages.get(title, {"ns": 0, "title": title, "missing": True})]
        return {"batchcomplete": True, "query": found}


@pytest.fixture
def wiki() -> Iterator[tuple[Wiki, str]]:
    scripted = Wiki()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scripted.agents.append(self.headers["User-Agent"])
            scripted.asked.append({k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()})
            if scripted.failures:
                scripted.failures.pop(0)(self)
                return
            send(self, json.dumps(scripted.reply(scripted.asked[-1])).encode())

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that gave up waiting is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield scripted, f"http://127.0.0.1:{server.server_port}/w/api.php"
    server.shutdown()
    server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def client(address: str, **more: Any) -> tuple[WikiClient, list[float]]:
    """A client that does not sleep, and the list of what it would have slept."""
    slept: list[float] = []
    options = {"interval_seconds": 0.0, "timeout_seconds": 60.0, "sleep": slept.append, **more}
    trusted = {"allow_private": ("127.0.0.1",)}
    return WikiClient(contact="me@example.org", endpoint=address, **(trusted | options)), slept
