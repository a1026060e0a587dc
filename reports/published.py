"""Published numbers beside the measured ones, for runs of a named table or figure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from reports.columns import plain
from reports.load import GROUP
from reports.style import condition_text
from reports.tables import Cell, Table, percent, share

if TYPE_CHECKING:
    from bench.experiments import Published

AVERAGE = "average"
"""The published data set that is the mean over the others."""

ACCURACY = "top-1 %"
"""The unit of published numbers that have a measured one beside them."""

OTHER_DATA, OTHER_ENCODER = "other data", "other encoder"
UNRECORDED = "encoder of the published number not recorded"
SAME = "same data set and encoder by name"
"""What a measured number may have in common with the published one."""

COLUMNS = [
    *("experiment", "label", "published_dataset", "published_encoder", "unit", "published", "source"),
    *("scenario", "dataset", "condition", "method", "encoder", "seeds", "measured", "low", "high", "difference"),
    "remark",
]

Row = dict[str, Any]


def measured(records: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``means`` that belong to experiments, with what tells a published number apart."""
    facts = ["experiment", "method_params", "scenario_params"]
    keys = [*GROUP, "method"]
    what = plain(records[[*keys, *facts]].dropna(subset="experiment").drop_duplicates(keys))
    return means.merge(what, on=keys)


def published(found: pd.DataFrame) -> pd.DataFrame:
    """Return every published number of the experiments in ``found`` beside what was measured.

    A measured row answers a published one if its method, or the variant of it, has the published name, and every
    published setting that is a parameter of its own has the published value. It is on the published data set if one
    was measured there; else each measured data set that the table does not have stands beside it, without a
    difference, since other data is another question.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`. ``published`` is in its own unit, usually per cent; ``measured``, ``low``, ``high`` and
        ``difference`` (measured minus published) are shares, and null where nothing was measured.
    """
    # Imported here: a report on runs that are no experiments need not read them.
    from bench.experiments import names
    from bench.experiments import published as numbers

    rows: list[Row] = []
    known = set(names())
    # A result that several experiments ask for is one row with all of their names.
    by_name: dict[str, list[Row]] = {}
    for row in found.to_dict("records"):
        for name in str(row["experiment"]).split():
            by_name.setdefault(name, []).append({str(key): value for key, value in row.items()})
    for name in sorted(set(by_name) & known):
        own = numbers(name)
        for number in own:
            base = {
                "experiment": name,
                "label": number.label,
                "published_dataset": number.dataset,
                "published_encoder": number.settings.get("encoder"),
                "unit": number.unit,
                "published": float(number.value),
                "source": number.source,
            }
            answers = _answers(number, own, by_name[name])
            rows += [{**base, **_beside(number, answer)} for answer in answers] or [{**base, "remark": "not measured"}]
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = [*COLUMNS[:4], "scenario", "dataset", "condition", "method"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _answers(number: Published, own: Sequence[Published], rows: Sequence[Row]) -> list[Row]:
    if number.unit != ACCURACY or number.method is None:
        return []
    fitting = [row for row in rows if _name(row) == number.method and _same_settings(number.settings, row)]
    # Where the table has a row with the encoder that was used, no other row of it is compared.
    alike = [n for n in own if (n.label, n.dataset, n.method) == (number.label, number.dataset, number.method)]
    fitting = [
        row
        for row in fitting
        if _same_encoder(number, row) or not any(_same_encoder(other, row) for other in alike if other is not number)
    ]
    if number.dataset == AVERAGE:
        return _averages({n.dataset for n in own if n.label == number.label} - {AVERAGE}, fitting)
    on_it = [row for row in fitting if row["dataset"] == number.dataset]
    published_on = {n.dataset for n in own}
    return on_it or [row for row in fitting if row["dataset"] not in published_on]


def _name(row: Row) -> str:
    """Return a method's name, or that of its variant, without the parameters that tell two of them apart."""
    return str(row["method"]).split(":", 1)[0]


def _same_settings(settings: Mapping[str, Any], row: Row) -> bool:
    """Return whether the settings that are parameters of the method or the scenario have the published values."""
    ran: dict[str, Any] = {}
    for text in (row["scenario_params"], row["method_params"], row["condition"]):
        ran |= json.loads(text)
    return all(ran[key] == value for key, value in settings.items() if key in ran and key != "encoder")


def _same_encoder(number: Published, row: Row) -> bool:
    named = number.settings.get("encoder")
    return named is not None and _plain(str(named)) in _plain(str(row["encoder"]))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _averages(datasets: set[str], rows: Sequence[Row]) -> list[Row]:
    """Return the mean over the published data sets of each method and condition that was measured on all of them."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        key = tuple(str(row[column]) for column in ("scenario", "condition", "method"))
        found.setdefault(key, {})[str(row["dataset"])] = row
    nan = float("nan")
    averages = []
    for on in found.values():
        if not datasets or not datasets <= set(on):
            continue
        used = [on[dataset] for dataset in sorted(datasets)]
        mean = sum(row["accuracy"] for row in used) / len(used)
        seeds = min(row["seeds"] for row in used)
        averages.append(
            {**used[0], "dataset": AVERAGE, "accuracy": mean, "accuracy_low": nan, "accuracy_high": nan, "seeds": seeds}
        )
    return averages


def _beside(number: Published, row: Row) -> Row:
    same_data = row["dataset"] == number.dataset
    remarks = [] if same_data else [OTHER_DATA]
    if "encoder" not in number.settings:
        remarks.append(UNRECORDED)
    elif not _same_encoder(number, row):
        remarks.append(OTHER_ENCODER)
    return {
        **{column: row[column] for column in ("scenario", "dataset", "condition", "method", "encoder", "seeds")},
        "measured": row["accuracy"],
        "low": row["accuracy_low"],
        "high": row["accuracy_high"],
        "difference": row["accuracy"] - number.value / 100 if same_data else float("nan"),
        "remark": "; ".join(remarks) or SAME,
    }


def table(found: pd.DataFrame) -> Table:
    """Return the published numbers beside the measured ones as a table."""
    rows = []
    for row in found.to_dict("records"):
        where = str(row["published_dataset"])
        unit = "" if row["unit"] == ACCURACY else f" {row['unit']}"
        there = isinstance(row["method"], str)
        words = [str(row["dataset"]), condition_text(str(row["condition"]))] if there else ["-"]
        rows.append(
            (
                *(Cell(text, text) for text in (str(row["experiment"]), str(row["label"]), where)),
                _text(row["published_encoder"]),
                Cell(f"{row['published']:.10g}{unit}", float(row["published"])),
                _text(row["method"]),
                Cell(", ".join(w for w in words if w), ", ".join(words)),
                _text(row["encoder"]),
                Cell(share(row["measured"], row["low"], row["high"]), float(row["measured"])),
                Cell(_points(row["difference"]), float(row["difference"])),
                Cell(str(row["remark"]), str(row["remark"])),
            )
        )
    sources = "; ".join(sorted(set(found["source"])))
    caption = (
        f"From: {sources}. Top-1 accuracy in per cent unless a unit stands with it; the difference is measured minus "
        "published, in points. Data and encoder are compared by name alone: images, splits, memory and weights of one "
        "name can differ from those of the paper, so a difference is no failed replication. Where the last column says "
        "that the data set is another, there is no difference to give."
    )
    head = (
        *("experiment", "published as", "published on", "published with", "published"),
        *("method here", "measured on", "measured with", "measured %", "difference", "what differs"),
    )
    return Table("published", "Published", caption, head, tuple(rows))


def _text(value: object) -> Cell:
    text = value if isinstance(value, str) and value else "-"
    return Cell(text, text)


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{'+' if value > 0 else ''}{percent(value)}"
