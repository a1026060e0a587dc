"""The result of a comparison, as a value that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.notebook.figures import Figures
from bench.notebook.leaderboard import as_html, as_text
from bench.notebook.tables import Tables
from bench.reports.analysis import Analysis, Choices
from bench.reports.figures.registry import FIGURES
from bench.reports.figures.style import Figure
from bench.reports.metrics.cost import COSTS, SECONDS
from bench.reports.metrics.definitions import METRICS
from bench.reports.paper.table import Spread, paper_table
from bench.reports.records.keys import GROUP
from bench.reports.report import build
from bench.reports.statistics.paired_tests import as_frame
from bench.runner.events import CellSummary, RunSummary
from bench.utils.errors import BenchError, suggest

_SHOWN_COSTS = ("answer_1_ms", "state_bytes")
"""Costs of :data:`bench.reports.metrics.cost.COSTS` that a summary has; seconds are added up."""


class Result:
    """What came of a comparison; a notebook shows it as a leaderboard, ``print`` as a table.

    Attributes
    ----------
    folder : Path
        The run's folder, as ``bench report`` reads it. Without ``out`` it lasts as long as the result does.
    failed, skipped : tuple of CellSummary
        The cells without answers, with the reason.
    """

    def __init__(self, summary: RunSummary) -> None:
        assert summary.records is not None
        self.folder = summary.folder
        self.failed: tuple[CellSummary, ...] = summary.failed
        self.skipped: tuple[CellSummary, ...] = summary.skipped
        self._records = summary.records

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a session: the columns of :data:`bench.results.schema.COLUMNS`, and the accuracy of the session."""
        counts = self._records[["n_correct", "n_queries"]].astype("float64")
        return self._records.assign(accuracy=counts["n_correct"] / counts["n_queries"])

    @cached_property
    def analysis(self) -> Analysis:
        """Everything a report is made from; raises :class:`BenchError` if no cell has answers."""
        return Analysis.of([self.folder])

    def summary(self) -> pd.DataFrame:
        """Return one row a method, data set and condition, best first: means over seeds with 95 % bounds, and costs.

        Metrics and costs that were not measured have no column.
        """
        means = self.analysis.means
        columns = [
            column
            for metric in METRICS
            if metric.head
            for column in (metric.name, f"{metric.name}_low", f"{metric.name}_high")
        ]
        seconds = means[SECONDS].sum(axis=1, skipna=False)
        table = means[[*GROUP, "method", *columns, "seeds", *(c for c in COSTS if c in _SHOWN_COSTS)]]
        table = table.assign(seconds=seconds).dropna(axis=1, how="all")
        return table.sort_values([*GROUP, "accuracy", "method"], ascending=[True, True, True, False, True]).reset_index(
            drop=True
        )

    def compare(
        self, *, baseline: str | None = None, new_classes: bool = False, unequal_labels: bool = False
    ) -> pd.DataFrame:
        """Return one row a pair of methods: the difference in accuracy, its interval, p-values and a verdict.

        Parameters
        ----------
        baseline : str, optional
            Compare all others with this method alone; all pairs are compared without it.
        new_classes : bool
            Whether intervals speak for new classes like these, rather than for new images of these.
        unequal_labels : bool
            Compare methods that saw different numbers of labels, too.

        Raises
        ------
        BenchError
            If there is no such method.
        """
        if baseline is not None and baseline not in self.analysis.methods:
            raise BenchError(f"no method {baseline!r} in this result{suggest(baseline, self.analysis.methods)}")
        choices = Choices(baseline=baseline, classes=new_classes, unequal_labels=unequal_labels)
        same = choices == self.analysis.choices
        return as_frame((self.analysis if same else replace(self.analysis, choices=choices)).comparisons[0])

    def plot(self, kind: str = "cost") -> Figures:
        """Return the figures of a kind: ``cost`` is accuracy against cost; ``bench list figures`` says what else.

        Raises
        ------
        BenchError
            If there is no such kind, or it draws nothing of this result.
        """
        known = FIGURES.names()
        if kind not in known:
            raise BenchError(f"no figure {kind!r}{suggest(kind, known)}")
        drawn = [item for item in FIGURES[kind](self.analysis) if isinstance(item, Figure)]
        if not drawn:
            others = ", ".join(name for name in known if name != kind)
            raise BenchError(f"there is nothing in this result that {kind!r} draws; other figures are {others}")
        return Figures(drawn)

    def table(
        self,
        metric: str = "accuracy",
        *,
        spread: Spread = "interval",
        methods: Sequence[str] = (),
        datasets: Sequence[str] = (),
    ) -> Tables:
        """Return a paper's table, as ``bench table`` does: it shows itself, and is LaTeX, Markdown and CSV.

        Arguments are those of :func:`bench.reports.paper.table.paper_table`.
        """
        made = paper_table(self.analysis, metric=metric, spread=spread, methods=methods, datasets=datasets)
        return Tables(made)

    def report(self, out: str | Path = "report") -> Path:
        """Write the report, as ``bench report`` does, into a folder, and return its page."""
        build([self.folder], Path(out))
        return Path(out) / "report.html"

    def __repr__(self) -> str:
        return as_text(self._analysed(), self.failed, self.skipped)

    def _repr_html_(self) -> str:
        return as_html(self._analysed(), self.failed, self.skipped)

    def _analysed(self) -> Analysis | None:
        """Return the analysis; None if no cell has answers."""
        return self.analysis if (self._records["status"] == "ok").any() else None

    def __getattr__(self, name: str) -> object:
        if not name.startswith("_") and hasattr(pd.DataFrame, name):
            raise AttributeError(f"a result has no {name!r}; its table has: result.frame.{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
