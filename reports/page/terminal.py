"""The report on the terminal: a table a group, warnings, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.reports.metrics.cost import SECONDS
from bench.reports.metrics.definitions import METRICS
from bench.reports.records.keys import GROUP
from bench.reports.records.oracle import ORACLE
from bench.reports.sections.scores import text as score_text
from bench.reports.tables.console import table_lines, text_lines
from bench.reports.utils.text import condition_text, natural


def text(means: pd.DataFrame, warnings: Sequence[str], out: Path, n_figures: int, width: int | None = None) -> str:
    """Return the report in short: a table a group, best method first, then warnings and where the files are.

    Parameters
    ----------
    means : DataFrame
        One row a group and method.
    warnings : sequence of str
    out : Path
        The report's folder.
    n_figures : int
    width : int, optional
        Columns at which cells and warnings wrap; without it each row and each warning is one line, for a program.
    """
    blocks = group_tables(means, width)
    tail = [line for warning in warnings for line in text_lines(f"warning: {warning}", width)]
    tail.append(f"{out / 'report.html'}: the whole report; beside it summary.csv and {n_figures} figures")
    return "\n\n".join([*blocks, "\n".join(tail)])


def group_tables(means: pd.DataFrame, width: int | None = None) -> list[str]:
    """Return a block of lines for each group: what it is, and its table, best method first."""
    blocks = []
    ordered = sorted(means.groupby(GROUP), key=lambda item: [natural(str(part)) for part in item[0]])
    for (scenario, dataset, condition), part in ordered:
        head = f"{scenario} · {dataset} · {condition_text(str(condition))}"
        blocks.append("\n".join([*text_lines(head, width), *_table(part, width)]))
    return blocks


def _table(part: pd.DataFrame, width: int | None) -> list[str]:
    """Return one group's table as lines."""
    shown = [metric for metric in METRICS if metric.head and metric.on_terminal and part[metric.name].notna().any()]
    order = part.assign(oracle=part["selection"] == ORACLE)
    order = order.sort_values(["oracle", "accuracy", "method"], ascending=[True, False, True])
    rows = [
        [
            str(row["method"]),
            *(score_text(metric, {str(key): value for key, value in row.items()}) for metric in shown),
            str(row["seeds"]),
            f"{sum(row[column] for column in SECONDS):.2f}",
            f"{row['state_bytes'] / 2**20:.2f}",
        ]
        for row in order.to_dict("records")
    ]
    heads = ["method", *(metric.column_head for metric in shown), "seeds", "seconds", "state MiB"]
    return table_lines(heads, rows, width=width)
