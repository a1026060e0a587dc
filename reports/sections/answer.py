"""The first screen: which method, how sure, at which cost."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reports.analysis import Analysis
from bench.reports.choosing.budgets import Budget, choices
from bench.reports.choosing.words import in_short
from bench.reports.utils.note import Sentence


def section(analysis: Analysis) -> Iterator[Sentence]:
    """Yield three sentences, or none where there is nothing to choose between."""
    made, _ = choices(analysis, Budget())
    yield from map(Sentence, in_short(made))
