"""The leaderboard of a result: the report's table of scores, and the cells that have no answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from bench.reports.analysis import Analysis
from bench.reports.page.terminal import group_tables
from bench.reports.sections.scores import table
from bench.runner.events import CellSummary, in_words
from bench.utils.names import printable

_HERE = Path(__file__).parent


def as_text(analysis: Analysis | None, failed: Sequence[CellSummary], skipped: Sequence[CellSummary]) -> str:
    """Return the table of each group, best method first, and a line for cells without answers."""
    blocks = group_tables(analysis.means) if analysis is not None else []
    rest = [printable(line) for line in in_words((*failed, *skipped))]
    return "\n\n".join([*blocks, *(["\n".join(rest)] if rest else [])])


def as_html(analysis: Analysis | None, failed: Sequence[CellSummary], skipped: Sequence[CellSummary]) -> str:
    """Return the table of scores with its marks, what a reader is warned of, and the cells without answers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("leaderboard.html").render(
        table=table(analysis.means, analysis.marks) if analysis is not None else None,
        failed=in_words(failed),
        skipped=in_words(skipped),
        warnings=analysis.warnings if analysis is not None else [],
    )
