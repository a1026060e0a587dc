"""The table of published numbers beside the measured ones, and its file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.published.accuracy import ACCURACY
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, percent, share
from bench.reports.utils.text import condition_text


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield the published numbers of the experiments that the runs belong to."""
    if len(analysis.published):
        yield table(analysis.published)
        yield DataFile("published", analysis.published)


def table(beside: pd.DataFrame) -> Table:
    """Return the published numbers beside the measured ones as a table."""
    rows = []
    for row in beside.to_dict("records"):
        where = str(row["published_dataset"])
        unit = "" if row["unit"] == ACCURACY else f" {row['unit']}"
        words = [str(row["dataset"])] if isinstance(row["dataset"], str) else ["-"]
        words += [condition_text(row["condition"])] if isinstance(row["condition"], str) else []
        rows.append(
            (
                *(Cell(text, text) for text in (str(row["experiment"]), str(row["label"]), where)),
                Cell(f"{row['published']:.10g}{unit}", float(row["published"])),
                _text(row["method"]),
                Cell(_measured(row), float(row["measured"])),
                _difference(row),
                Cell(str(row["remark"]), str(row["remark"])),
                Cell(", ".join(w for w in words if w), ", ".join(words)),
                *(_text(row[encoder]) for encoder in ("published_encoder", "encoder")),
                _text(_how(row)),
            )
        )
    sources = "; ".join(sorted(set(beside["source"])))
    caption = (
        f"From: {sources}. Top-1 accuracy in per cent unless a unit stands with it; the difference is measured minus "
        "published, in points, and of costs in per cent of the published. Data and encoder are compared by name alone: "
        "images, splits, memory and weights of one name can differ from those of the paper, so a difference is no "
        "failed replication. Where data, classes or memory are other than the paper's, the "
        "task is another and there is no difference of accuracies to give. A figure whose epoch was chosen on the test "
        "images is not comparable with an honest choice. FLOPs of one query are brought to the "
        "published batch; two are a multiply-add."
    )
    head = (
        *("experiment", "published as", "published on", "published", "method here", "measured", "difference"),
        *("what differs", "measured on", "published with", "measured with", "published how"),
    )
    return Table("published", "Published", caption, head, tuple(rows))


def _how(row: Mapping[Any, Any]) -> str:
    """Return with how many neighbours a number was published, what its epoch was chosen on and what was trained on."""
    parts = [f"k = {int(row['published_k'])}"] if pd.notna(row["published_k"]) else []
    parts += [f"epoch chosen on {row['epoch_chosen_on']}"] if isinstance(row["epoch_chosen_on"], str) else []
    parts += [f"trained on {row['training_data']}"] if isinstance(row["training_data"], str) else []
    return "; ".join(parts)


def _text(value: object) -> Cell:
    text = value if isinstance(value, str) and value else "-"
    return Cell(text, text)


def _measured(row: Mapping[Any, Any]) -> str:
    if row["unit"] == ACCURACY or math.isnan(row["measured"]):
        return share(row["measured"], row["low"], row["high"])
    return f"{row['measured']:.4g} {row['unit']}"


def _difference(row: Mapping[Any, Any]) -> Cell:
    if not math.isnan(row["relative"]):
        return Cell(f"{100 * row['relative']:+.3g} %", float(row["relative"]))
    points = float(row["difference"])
    return Cell("-" if math.isnan(points) else f"{'+' if points > 0 else ''}{percent(points)}", points)
