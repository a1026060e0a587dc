"""What a sweep changes: accuracy at the last value of a swept number less that at the first, compared pairwise."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.compare import holm
from reports.intervals import estimate, t_interval
from reports.style import condition_text
from reports.tables import Cell, Table, percent, probability, without_constants

ALL = "mean of all"
"""Stands for the mean over all data sets on which every method of a sweep was run."""


def changes(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sweep x data set x method: what accuracy becomes from the least to the largest value.

    Parameters
    ----------
    cells : DataFrame
        One row a cell with ``scenario``, ``dataset``, ``condition``, ``method``, ``seed`` and ``accuracy``.

    Returns
    -------
    DataFrame
        ``first`` and ``last`` are mean accuracies, ``change`` their difference with Student's interval over seeds
        (``low``, ``high``); ``p`` is that of a paired t-test over seeds against the method of the same row group
        that loses least, ``p_holm`` the same after Holm's correction over all rows; NaN where it is that method or
        seeds are fewer than two.
    """
    rows: list[dict[str, object]] = []
    for (scenario, key, others), part in _sweeps(cells):
        wide = _ends(part)
        if wide.empty:
            continue
        for dataset, found in [*wide.groupby("dataset", sort=True), *_over_all(wide)]:
            rows += [
                {"scenario": scenario, "swept": key, "others": others, "dataset": str(dataset), **row}
                for row in _compared(found)
            ]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"])) if rows else table


def _sweeps(cells: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yield the cells of each sweep with the swept ``value``: all but one number of the condition stays the same."""
    told = {condition: json.loads(condition) for condition in cells["condition"].unique()}
    conditions = cells["condition"].astype(object)
    for key in sorted({key for one in told.values() for key in one}):
        value = {text: _number(one.get(key)) for text, one in told.items()}
        others = {text: json.dumps({k: one[k] for k in one if k != key}, sort_keys=True) for text, one in told.items()}
        parts = cells.assign(value=conditions.map(value).astype("float64"), others=conditions.map(others))
        parts = parts.dropna(subset=["value", "accuracy"])
        for (scenario, same), part in parts.groupby(["scenario", "others"], sort=True, observed=True):
            if part["value"].min() < part["value"].max():
                yield (str(scenario), key, str(same)), part


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _ends(part: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy at the first and the last value, one row a data set x method x seed that has both."""
    keys = ["dataset", "method", "seed"]
    values = part.groupby("dataset", observed=True)["value"]
    ends = [
        part[part["value"] == end].groupby(keys, sort=True, observed=True)["accuracy"].mean().rename(name)
        for name, end in (("first", values.transform("min")), ("last", values.transform("max")))
    ]
    return pd.concat(ends, axis=1, join="inner").reset_index()


def _over_all(wide: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the mean over data sets, where there are several that share methods."""
    count = wide["dataset"].nunique()
    everywhere = wide.groupby("method", observed=True)["dataset"].transform("nunique") == count
    if count > 1 and everywhere.any():
        means = wide[everywhere].groupby(["method", "seed"], observed=True)[["first", "last"]].mean().reset_index()
        yield f"{ALL} {count}", means


def _compared(found: pd.DataFrame) -> Iterator[dict[str, object]]:
    change = found.assign(change=found["last"] - found["first"])
    by_seed = change.pivot_table(index="seed", columns="method", values="change", observed=True)
    means = found.groupby("method", observed=True)[["first", "last"]].mean()
    best = by_seed.mean().idxmax()
    for method in by_seed.mean().sort_values(ascending=False, kind="stable").index:
        own = by_seed[method].dropna()
        low, high = t_interval(own)
        difference = (by_seed[method] - by_seed[best]).dropna().to_numpy()
        apart = method != best and len(difference) > 1 and bool(np.ptp(difference))
        yield {
            "method": str(method),
            **means.loc[method].to_dict(),
            "change": own.mean(),
            "low": low,
            "high": high,
            "p": estimate([difference], shared=False).p if apart else float("nan"),
            "seeds": len(own),
        }


def table(found: pd.DataFrame) -> Table | None:
    """Return the changes as a table; None if nothing was swept."""
    if found.empty:
        return None
    rows = []
    for row in found.to_dict("records"):
        known = not np.isnan(row["low"])
        change = percent(row["change"]) + (f" [{percent(row['low'])}, {percent(row['high'])}]" if known else "")
        others = condition_text(row["others"])
        swept = f"{row['swept']} ({others})" if others else row["swept"]
        rows.append(
            (
                *(Cell(str(text), str(text)) for text in (row["scenario"], swept, row["dataset"], row["method"])),
                *(Cell(percent(row[end]), float(row[end])) for end in ("first", "last")),
                Cell(change, float(row["change"])),
                Cell(probability(row["p_holm"]), float(row["p_holm"])),
            )
        )
    caption = (
        "Accuracy at the least and at the largest value of what the scenario varies, and the change in points with its "
        "95 % interval over seeds. p: paired t-test over seeds against the method that loses least, after Holm's "
        f"correction over all {len(found)} rows; a dash for that method itself."
    )
    head = (
        "scenario",
        "swept",
        "data set",
        "method",
        "at the least %",
        "at the largest %",
        "change, points",
        "p (Holm)",
    )
    return without_constants(Table("sweeps", "What a sweep changes", caption, head, tuple(rows)))
