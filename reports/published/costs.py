"""Published costs beside the measured ones, brought to the published unit and batch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.runner.experiments import Published

Row = dict[str, Any]

PEAKS = ("train_peak_gpu_bytes", "score_peak_gpu_bytes")

UNITS: Mapping[str, Callable[[float, float], float]] = {
    # A multiply-add is two FLOPs; what is measured is of one query or image, what is published of a batch of them.
    "billion multiply-adds": lambda flops, batch: flops * batch / 2e9,
    "GB": lambda size, _: size / 1e9,
}
"""By unit: what turns FLOPs a query, or bytes, into it, given the published batch."""


def facts(records: pd.DataFrame, experiments: pd.DataFrame) -> pd.DataFrame:
    """Return, by group and method of some rows, the items of the memory and the peaks by phase.

    ``memory_items`` is the mean over seeds after the last session, and a peak the largest of all; null where it was
    not recorded.
    """
    keys = [*GROUP, "method"]
    columns = [name for name in ("memory_items", *PEAKS) if name in records]
    asked = set(experiments[keys].itertuples(index=False, name=None))
    frame = records.loc[records["experiment"].notna(), [*keys, "cell", "session", *columns]]
    frame = plain(frame).astype(dict.fromkeys(columns, "float64"))
    frame = frame[[key in asked for key in frame[keys].itertuples(index=False, name=None)]]
    last = frame.sort_values("session", kind="stable").drop_duplicates("cell", keep="last")
    items = last.groupby(keys)[["memory_items"]].mean() if "memory_items" in columns else last[keys].drop_duplicates()
    return items.join(frame.groupby(keys)[[c for c in columns if c in PEAKS]].max()).reset_index()


def beside(number: Published, rows: Sequence[Row], same_encoder: Callable[[Row], bool]) -> list[Row]:
    """Return what was measured of a published cost: of its method, or of the encoder alone, on each data set.

    Where the published data set was measured, others are left out. Costs depend on the encoder, the memory and the
    parameters, not on the images, so there is a relative difference on other data too; ``remark`` says what differs.
    """
    distinct: dict[tuple[str, ...], Row] = {}
    for row in rows:
        own = ("dataset", "encoder") if number.method is None else ("scenario", "dataset", "condition", "method")
        # With other parameters it is the same method at another cost; its name says which they are.
        if number.method is None or re.split("[:(]", str(row["method"]))[0] == number.method:
            distinct.setdefault(tuple(str(row[column]) for column in own), row)
    on_it = [row for row in distinct.values() if row["dataset"] == number.dataset]
    return [_beside(number, row, same_encoder(row)) for row in on_it or distinct.values()]


def _beside(number: Published, row: Row, same_encoder: bool) -> Row:
    assert number.measure is not None
    batch = float(number.settings.get("batch", 1))
    each = f"{number.measure}_per_query"
    measured = UNITS[number.unit](_number(row.get(each, row.get(number.measure))), batch)
    about = ["dataset", "encoder", "seeds"] + (["scenario", "condition", "method"] if number.method else [])
    return {
        **{column: row[column] for column in about},
        "measured": measured,
        "low": math.nan,
        "high": math.nan,
        "difference": math.nan,
        "relative": measured / number.value - 1,
        "remark": "; ".join(_differs(number, row, same_encoder, batch)) if not math.isnan(measured) else _why(number),
    }


def _differs(number: Published, row: Row, same_encoder: bool, batch: float) -> list[str]:
    """Return what the cost depends on and whether it is the published one."""
    remarks = ["same encoder by name" if same_encoder else "other encoder"]
    if number.measure == "retrieve_flops":
        items = _number(row.get("memory_items"))
        remarks.append("memory of unrecorded size" if math.isnan(items) else f"memory of {items:,.0f} items in all")
        if "dimensions" in number.settings:
            alike = f"{_implied(number, batch):,} of {number.settings['dimensions']} dimensions"
            remarks[-1] += f" (published: as many multiply-adds as {alike})"
    if number.measure == "score_flops":
        k = json.loads(row["method_params"]).get("k")
        remarks += [f"k {k}"] if k is not None else []
    if (
        number.measure not in ("encoder_flops", "retrieve_flops")
        and number.classes is not None
        and row["n_classes"] != number.classes
    ):
        remarks.append(f"{row['n_classes']} classes, {number.classes} published")
    return remarks


def _why(number: Published) -> str:
    return "not measured (it takes a GPU)" if number.measure in PEAKS else "not measured"


def _implied(number: Published, batch: float) -> int:
    """Return the items whose comparison with a batch takes the published multiply-adds, with three digits."""
    items = number.value * 1e9 / (batch * float(number.settings["dimensions"]))
    return int(float(f"{items:.3g}"))


def _number(value: float | None) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)
