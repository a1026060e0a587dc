"""Pages from templates: one HTML file each, with its style and script in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from bench.reports.page.policy import policy
from bench.utils.version import __version__

_HERE = Path(__file__).parent


def page(template: str, *, styles: Sequence[str] = ("page.css",), script: str = "", **values: object) -> str:
    """Return the page that a template of this folder makes of values, with files of it as style and script.

    The page may load nothing, and runs no script but this one: its policy names both by their hash.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["code"] = _code
    css, js = "".join(map(_read, styles)), _read(script) if script else ""
    named = policy(css, js) if js else policy(css)
    return environment.get_template(template).render(css=css, js=js, policy=named, version=__version__, **values)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


_DARK = """<style>@media (prefers-color-scheme: dark) {
[style*="fill: #ffffff"] { fill: #1a2129 !important } text { fill: #e6edf3 !important }
[style*="fill: #000000"] { fill: #e6edf3 !important } [style*="stroke: #000000"] { stroke: #e6edf3 !important }
[style*="stroke: #444444"] { stroke: #9da7b3 !important } [style*="stroke: #dddddd"] { stroke: #343d48 !important }
}</style></svg>"""
"""What turns paper, ink and grid of a figure round where the page is dark; the colours of methods stay."""


def _data_uri(svg: bytes) -> str:
    text = svg.decode("utf-8")
    text = text[: text.rindex("</svg>")] + _DARK
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _code(text: str) -> Markup:
    """Return words as HTML; what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
