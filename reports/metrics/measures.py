"""What scenarios measure beside accuracy, over seeds; and effective robustness."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.reports.forms.intervals import t_interval
from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP

Floats = NDArray[np.float64]

HEIGHTS = ("mistake_height", "mean_height")
"""What is no share."""

SIGNED = ("drop", "gain")
"""Differences of shares."""

SEVERAL = 3
"""Methods from which a line through their accuracies says something."""


def measures(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a group, method and measure: ``value``, ``low``, ``high``, ``seeds``; of the last session.

    The value is the mean over seeds; limits are those of :func:`_over_seeds`, with one seed those of its record.
    """
    head = [*GROUP, "method", "measure", "value", "low", "high", "seeds"]
    if "measures" not in records or records["measures"].isna().all():
        return pd.DataFrame(columns=head)
    told = plain(records.loc[records["measures"].notna(), [*GROUP, "method", "seed", "session", "measures"]])
    last = told.sort_values("session").groupby([*GROUP, "method", "seed"], sort=True).tail(1)
    rows = []
    for key, part in last.groupby([*GROUP, "method"], sort=True):
        parsed = [json.loads(text) for text in part["measures"]]
        for name in dict.fromkeys(name for one in parsed for name in one):
            values = np.array([_number(one, name) for one in parsed])
            rows.append((*key, name, *_over_seeds(values, name), len(values)))
    return with_robustness(pd.DataFrame(rows, columns=head), records)


def _over_seeds(values: Floats, name: str) -> tuple[float, float, float]:
    """Return the mean over seeds and its limits, of values with the limits of each [s, 3].

    Queries may be the same in all seeds, so what they bring is not divided by the number of seeds; what seeds bring is
    Student's t. Squares of both distances are added, and limits stay where the measure is defined.
    """
    mean, low, high = (float(column.mean()) for column in values.T)
    if len(values) > 1:
        below, above = t_interval(values[:, 0])
        low, high = mean - np.hypot(mean - low, mean - below), mean + np.hypot(high - mean, above - mean)
    least = -1.0 if name in SIGNED else 0.0
    return mean, float(max(low, least)), float(high if name in HEIGHTS else min(high, 1.0))


def _number(measured: dict[str, list[float | None]], name: str) -> list[float]:
    values = measured.get(name, [None] * 3)
    return [float("nan") if value is None else float(value) for value in values]


def with_robustness(table: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the effective robustness of each method where a shift was measured of several."""
    added = []
    for key, part in table[table["measure"].isin(("unshifted", "drop"))].groupby(GROUP, sort=True):
        wide = part.pivot_table(
            index="method", columns="measure", values="value", aggfunc="first", dropna=False
        ).dropna()
        if len(wide) < SEVERAL:
            continue
        before = wide["unshifted"].to_numpy()
        found = effective_robustness(before, before - wide["drop"].to_numpy())
        seeds = part.groupby("method")["seeds"].max()
        added += [
            (*key, method, "effective_robustness", float(value), float("nan"), float("nan"), int(seeds[method]))
            for method, value in zip(wide.index, found, strict=True)
        ]
    return pd.concat([table, pd.DataFrame(added, columns=table.columns)], ignore_index=True) if added else table


def effective_robustness(before: Floats, after: Floats) -> Floats:
    """Return accuracy after a shift above what accuracy before it leads one to expect, [m].

    Taori et al., Measuring Robustness to Natural Distribution Shifts, NeurIPS 2020, arXiv:2007.00644, eq. 1: the
    expectation is a line through the logits of both accuracies, here fitted to all other methods of the group.
    """
    x, y = (special.logit(np.clip(part, 1e-3, 1 - 1e-3)) for part in (before, after))
    found = np.full(len(x), np.nan)
    for place in range(len(x)):
        others = np.arange(len(x)) != place
        if len(np.unique(x[others])) > 1:
            slope, start = np.polyfit(x[others], y[others], 1)
            found[place] = after[place] - special.expit(slope * x[place] + start)
    return found
