"""The page: one HTML file with everything in it, that asks nothing of any network."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from bench.reports.analysis import Analysis
from bench.reports.figures.style import Figure
from bench.reports.page.policy import policy
from bench.reports.sections.background import background
from bench.reports.sections.sections import Part
from bench.reports.tables.table import Table
from bench.utils.version import SCHEMA, __version__

_HERE = Path(__file__).parent


def render(analysis: Analysis, parts: Sequence[Part], warnings: Sequence[str]) -> str:
    """Return the page as HTML; a section that holds nothing is left out."""
    return _page(
        "page.html",
        version=__version__,
        schema=SCHEMA,
        facts=_facts(analysis.records),
        warnings=warnings,
        answer=next((part for part in parts if part.sentences), None),
        parts=[part for part in parts if (part.tables or part.figures) and not part.sentences],
        background=background(analysis),
    )


def render_choice(sentences: Sequence[str], figures: Sequence[Figure], table: Table, warnings: Sequence[str]) -> str:
    """Return the page of a choice under a budget."""
    return _page("choice.html", sentences=sentences, figures=figures, table=table, warnings=warnings)


def _page(template: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["code"] = _code
    css, js = ((_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return environment.get_template(template).render(css=css, js=js, policy=policy(css, js), **values)


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


def _facts(records: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the report is about, in numbers."""
    names = {"method": "methods", "dataset": "data sets", "scenario": "scenarios", "seed": "seeds", "cell": "cells"}
    counts = {label: int(records[column].nunique()) for column, label in names.items()}
    return [(label if n != 1 else label.removesuffix("s"), str(n)) for label, n in counts.items()]
