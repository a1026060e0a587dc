"""The page: one HTML file with everything in it, that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.style import Figure
from bench.reports.page.template import page
from bench.reports.sections.background import background
from bench.reports.sections.sections import Part
from bench.reports.tables.table import Table
from bench.utils.version import SCHEMA


def render(analysis: Analysis, parts: Sequence[Part], warnings: Sequence[str]) -> str:
    """Return the page as HTML; a section that holds nothing is left out."""
    return page(
        "page.html",
        script="page.js",
        schema=SCHEMA,
        facts=_facts(analysis.records),
        warnings=warnings,
        answer=next((part for part in parts if part.sentences), None),
        parts=[part for part in parts if (part.tables or part.figures) and not part.sentences],
        background=background(analysis),
    )


def render_choice(sentences: Sequence[str], figures: Sequence[Figure], table: Table, warnings: Sequence[str]) -> str:
    """Return the page of a choice under a budget."""
    return page("choice.html", script="page.js", sentences=sentences, figures=figures, table=table, warnings=warnings)


def _facts(records: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what the report is about, in numbers."""
    names = {"method": "methods", "dataset": "data sets", "scenario": "scenarios", "seed": "seeds", "cell": "cells"}
    counts = {label: int(records[column].nunique()) for column, label in names.items()}
    return [(label if n != 1 else label.removesuffix("s"), str(n)) for label, n in counts.items()]
