"""The leaderboard: means at once, and intervals and marks group by group as predictions are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.reports.metrics.cost import COSTS
from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.per_cell import scores
from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.reports.records.oracle import ORACLE
from bench.reports.records.paired_predictions import Group, groups, without_oracles
from bench.reports.records.run_table import RunTable
from bench.reports.statistics import aggregate
from bench.reports.statistics.table_marks import Marks, marks
from bench.reports.tables.table import ordered
from bench.reports.utils.text import condition_text

Key = tuple[str, str, str]
"""Scenario, data set and condition, as the records name them."""


@dataclass(frozen=True)
class Where:
    """An episode of a run and a session of it; None is the last.

    Attributes
    ----------
    key : tuple of str
        Scenario, data set and condition, as the leaderboard names them.
    """

    key: Key
    seed: int
    session: int | None = None


SHOWN_COSTS = {
    "answer_1_ms": ("ms an answer", 1.0),
    "build_seconds": ("build s", 1.0),
    "state_bytes": ("state MiB", 2.0**20),
}
"""Costs that the leaderboard shows: their heads, and what one unit of them is."""


def quick_means(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds of what the records alone give, a row a group and method; nothing has bounds."""
    numbers = [*METRICS.names(), *COSTS]
    keyed = cells.groupby([*GROUP, "method"], sort=True)
    means = keyed[numbers].mean().join(keyed.size().rename("seeds")).join(keyed[["selection", "n_queries"]].first())
    found = means.reset_index().assign(over="")
    found[[f"{metric}_{side}" for metric in METRICS.names() for side in ("low", "high")]] = math.nan
    return found


def records_of(table: RunTable, key: Key) -> pd.DataFrame:
    """Return the records of one scenario, data set and condition."""
    records = table.records
    there = (records["scenario"] == key[0]) & (records["dataset"] == key[1]) & (records["condition"] == key[2])
    own = records[there.to_numpy()].reset_index(drop=True)
    texts = [name for name in own if isinstance(own[name].dtype, pd.CategoricalDtype)]
    # A million cells of other groups are not gone through for these.
    return own.assign(**{str(name): own[name].cat.remove_unused_categories() for name in texts})


def group_of(table: RunTable, key: Key) -> Group:
    """Return the predictions of one scenario, data set and condition.

    Raises
    ------
    BenchError
        If a file is damaged or not what the records say.
    """
    return next(iter(groups(replace(table, records=records_of(table, key)))), Group(*key, {}))


def measured(group: Group, records: pd.DataFrame) -> tuple[pd.DataFrame, Marks]:
    """Return the rows of a group as the report computes them, with bounds, and the marks of its columns."""
    cells = aggregate.per_cell(records, scores(records), aggregate.from_predictions([group]))
    means = aggregate.over_seeds(cells, aggregate.intervals([group]))
    return means, marks(without_oracles([group], records), means)


def cells_alone(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell with what its records alone give."""
    return plain(aggregate.per_cell(records, scores(records), aggregate.from_predictions([])))


def rows_of(means: pd.DataFrame, marked: Marks, complete: bool) -> list[dict[str, Any]]:
    """Return rows for the page, best first in each group.

    Each has ``scenario``, ``dataset``, ``condition`` and it in words, ``method``, ``seeds``, ``queries``, ``over``
    (what the interval speaks for), ``complete`` (whether intervals are there), ``metrics`` (by name: value, low, high,
    mark) and ``costs`` (by name).
    """
    shown = [metric for metric in METRICS if metric.head and metric.name in means]
    rows = []
    for row in ordered(means):
        key = tuple(str(row[name]) for name in [*GROUP, "method"])
        metrics = {
            metric.name: [
                *(_number(row[f"{metric.name}{side}"]) for side in ("", "_low", "_high")),
                marked.get((*key, metric.name)),  # type: ignore[arg-type]
            ]
            for metric in shown
        }
        rows.append(
            {
                **dict(zip([*GROUP, "method"], key, strict=True)),
                "words": condition_text(key[2]),
                "seeds": int(row["seeds"]),
                "queries": str(row["n_queries"]),
                "oracle": row["selection"] == ORACLE,
                "over": str(row["over"]),
                "complete": complete,
                "metrics": metrics,
                "costs": {name: _number(row[name], unit) for name, (_, unit) in SHOWN_COSTS.items()},
            }
        )
    return rows


def columns_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of the leaderboard that some row has a value for."""
    columns = [
        {
            "name": metric.name,
            "head": metric.column_head,
            "percent": metric.percent,
            "lower": metric.lower_is_better,
            "kind": "metric",
            "main": metric.on_terminal,
            "about": metric.meaning,
        }
        for metric in METRICS
        if metric.head and any(row["metrics"].get(metric.name, [None])[0] is not None for row in rows)
    ]
    costs = [
        {"name": name, "head": head, "percent": False, "lower": True, "kind": "cost", "main": True, "about": ""}
        for name, (head, _) in SHOWN_COSTS.items()
        if any(row["costs"][name] is not None for row in rows)
    ]
    return columns + costs


def _number(value: Any, unit: float = 1.0) -> float | None:
    found = float(value) / unit
    return found if math.isfinite(found) else None
