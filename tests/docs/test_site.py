"""The site: it builds without a warning and without a network, has every module, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.core.registry import METHODS, SCENARIOS

ROOT = Path(__file__).resolve().parents[2]

for needed in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason="pip install 'retrieval-bench[docs]'")

OFFLINE = """
import socket, sys
def refuse(*_): raise OSError("the site is built without a network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""
"""Builds the site in a process whose sockets refuse to connect."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class _Loaded(HTMLParser):
    """The addresses that a browser loads by itself when it shows a page; links to click are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        loads = ["src", "srcset", "data", "poster"] + (["href"] if tag == "link" else [])
        self.addresses += [named[name] or "" for name in loads if name in named]


def _loaded(html: str) -> list[str]:
    parser = _Loaded()
    parser.feed(html)
    return parser.addresses


def test_a_page_that_loads_from_elsewhere_is_noticed() -> None:
    page = '<a href="https://a.example">a</a><link href="//b.example/f.css"><img src="https://c.example/i.png">'
    assert [a for a in _loaded(page) if _elsewhere(a)] == ["//b.example/f.css", "https://c.example/i.png"]


def _elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*([a-z]+:)?//", address))


def test_pages_load_no_font_script_or_picture_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text()
        assert not [address for address in _loaded(text) if _elsewhere(address)], page
        # The theme's script fetches a drawing program for pages that hold such a drawing.
        assert 'class="mermaid"' not in text, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import\s+|url\()\s*[\"']?\s*(https?:)?//", sheet.read_text()), sheet


def test_every_module_has_a_page(site: Path) -> None:
    modules = [path for path in (ROOT / "bench").rglob("*.py") if not path.name.startswith("_")]
    assert len(modules) > 50
    for path in modules:
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert f"<code>{dotted}</code>" in (site / "reference" / f"{dotted}.html").read_text()


def test_the_reference_shows_signatures_and_meanings(site: Path) -> None:
    # Whatever room a registry stands in, its decorator is public and documented.
    pages = [page.read_text() for page in (site / "reference").glob("*.html")]
    (page,) = [page for page in pages if re.search(r'id="bench[\w.]*\.registry\.method"', page)]
    assert "Its name on the command line, in YAML, in records and in tables" in page
    assert ":class:" not in page


def test_catalogues_name_everything_that_is_registered(site: Path) -> None:
    methods, scenarios = (site / "methods.html").read_text(), (site / "scenarios.html").read_text()
    for name in METHODS.names():
        assert f"<code>{name}</code>" in methods
    for name in SCENARIOS.names():
        assert f'id="{name}"' in scenarios


def test_links_of_the_repository_lead_to_pages_of_the_site(site: Path) -> None:
    front = (site / "index.html").read_text()
    assert 'href="contributing.html"' in front
    assert not re.search(r'href="[^"]*(docs/|\.md)', front)
