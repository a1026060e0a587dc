"""Rows of ``bench list figures``."""

from __future__ import annotations

import inspect
from typing import Any

from bench.cli.options import warn
from bench.reports.figures.registry import FIGURES


def figures() -> list[dict[str, Any]]:
    """Return every kind of figure of a report, and the section that each stands in."""
    warn(FIGURES.warnings)
    return [
        {"name": one.name, "summary": (inspect.getdoc(one.draw) or "").split("\n", 1)[0], "section": one.section}
        for one in FIGURES
    ]
