"""A paper's table that a notebook shows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.reports.paper.forms import paper_csv, paper_frame, paper_html, paper_latex, paper_markdown
from bench.reports.paper.table import PaperTable


@dataclass(frozen=True, eq=False, repr=False)
class Tables:
    """A paper's table in all its forms."""

    table: PaperTable

    @property
    def frame(self) -> pd.DataFrame:
        """One row a block, method and data set."""
        return paper_frame(self.table)

    def latex(self) -> str:
        """Return LaTeX for the package booktabs."""
        return paper_latex(self.table)

    def markdown(self) -> str:
        """Return Markdown."""
        return paper_markdown(self.table)

    def csv(self) -> str:
        """Return CSV, as ``frame``."""
        return paper_csv(self.table)

    def __repr__(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        return paper_html(self.table)
