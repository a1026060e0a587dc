"""Rows of ``bench list metrics``."""

from __future__ import annotations

from typing import Any

from bench.cli.options import warn
from bench.reports.metrics.definitions import METRICS


def metrics() -> list[dict[str, Any]]:
    """Return every metric of a report with its head in tables."""
    warn(METRICS.warnings)
    return [{"name": one.name, "summary": one.meaning or one.head or one.name, "head": one.head} for one in METRICS]
