"""Published numbers beside the measured ones, for runs of a named table or figure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from bench.reports.published import costs as published_costs
from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.reports.records.sees import unmarked
from bench.runner.experiments import Published, classes_asked, names
from bench.runner.experiments import published as numbers

AVERAGE = "average"
"""The published data set that is the mean over the others, or over the experiment's where no other is published."""

ACCURACY = "top-1 %"
"""The unit of published numbers that have a measured one beside them."""

OTHER_DATA, OTHER_ENCODER = "other data", "other encoder"
UNRECORDED = "encoder of the published number not recorded"
SAME = "same data set and encoder by name"
"""What a measured number may have in common with the published one."""

OTHER_TASK = (OTHER_DATA, "other classes", "other memory")
"""How a remark begins that makes the question another one: there is no difference to give."""

COLUMNS = [
    *("experiment", "label", "published_dataset", "published_encoder", "unit", "published", "source"),
    *("published_k", "epoch_chosen_on", "training_data"),
    *("scenario", "dataset", "condition", "method", "encoder", "seeds", "measured", "low", "high", "difference"),
    *("relative", "remark"),
]

Row = dict[str, Any]


def measured(records: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``means`` that belong to experiments, with what tells a published number apart."""
    facts = ["experiment", "method_params", "scenario_params"]
    keys = [*GROUP, "method"]
    what = plain(records[[*keys, *facts]].dropna(subset="experiment").drop_duplicates(keys))
    rows = means.merge(what, on=keys)
    return rows.merge(published_costs.facts(records, rows), on=keys) if len(rows) else rows


def published(experiments: pd.DataFrame) -> pd.DataFrame:
    """Return every published number of some experiments beside what was measured.

    A measured row answers a published one if its method, or the variant of it, has the published name, and every
    published setting that is a parameter of its own has the published value. It is on the published data set if one
    was measured there; else each measured data set that the table does not have stands beside it, without a
    difference, since other data is another question.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`. ``published`` is in its own unit, usually per cent. Of accuracies, ``measured``, ``low``,
        ``high`` and ``difference`` (measured minus published) are shares; of costs, ``measured`` is in the published
        unit and ``relative`` is measured / published - 1. Null where nothing was measured or the task is another.
    """
    rows: list[Row] = []
    registered = set(names())
    # A result that several experiments ask for is one row with all of their names.
    by_name: dict[str, list[Row]] = {}
    for row in experiments.to_dict("records"):
        for name in str(row["experiment"]).split():
            by_name.setdefault(name, []).append({str(key): value for key, value in row.items()})
    for name in sorted(set(by_name) & registered):
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
                "published_k": number.settings.get("k"),
                "epoch_chosen_on": number.chosen_on,
                "training_data": number.trained_on,
            }
            if number.measure is not None:
                same = partial(_same_encoder, number)
                beside = published_costs.beside(number, by_name[name], same)
            else:
                beside = [_beside(number, answer) for answer in _answers(number, own, by_name[name])]
            rows += [{**base, **one} for one in beside] or [{**base, "remark": "not measured"}]
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
        asked = {n.dataset: n.classes for n in own if n.label == number.label and n.dataset != AVERAGE}
        return _averages(asked or classes_asked(number.experiment), fitting)
    on_it = [row for row in fitting if row["dataset"] == number.dataset]
    published_on = {n.dataset for n in own}
    return on_it or [row for row in fitting if row["dataset"] not in published_on]


def _name(row: Row) -> str:
    """Return a method's name, or that of its variant, without the parameters that tell two of them apart."""
    return unmarked(str(row["method"])).split(":", 1)[0]


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


def _averages(asked: Mapping[str, int | None], rows: Sequence[Row]) -> list[Row]:
    """Return the mean over the published data sets of each method and condition that was measured on all of them.

    ``asked`` is how many classes of each were asked about.
    """
    datasets = set(asked)
    by_method: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        key = tuple(str(row[column]) for column in ("scenario", "condition", "method"))
        by_method.setdefault(key, {})[str(row["dataset"])] = row
    nan = float("nan")
    averages = []
    for on in by_method.values():
        if not datasets or not datasets <= set(on):
            continue
        used = [on[dataset] for dataset in sorted(datasets)]
        mean = sum(row["accuracy"] for row in used) / len(used)
        seeds = min(row["seeds"] for row in used)
        unlike = sorted({part for row in used for part in _other_task(asked[str(row["dataset"])], row)})
        bounds = {"accuracy_low": nan, "accuracy_high": nan}
        averages.append({**used[0], **bounds, "dataset": AVERAGE, "accuracy": mean, "seeds": seeds, "unlike": unlike})
    return averages


def _other_task(asked: int | None, row: Row) -> list[str]:
    """Return in what a row departs from the task of the paper: the classes asked about, what is retrieved from."""
    remarks = []
    if asked is not None and row["n_classes"] != asked:
        remarks.append(f"other classes: {row['n_classes']} asked about, {asked} published")
    memory = json.loads(row["condition"]).get("memory")
    return [*remarks, f"other memory: {memory}"] if memory is not None else remarks


def _beside(number: Published, row: Row) -> Row:
    remarks = [] if row["dataset"] == number.dataset else [OTHER_DATA]
    if not remarks:
        remarks += row.get("unlike", _other_task(number.classes, row))
    same_task = not remarks
    if "encoder" not in number.settings:
        remarks.append(UNRECORDED)
    elif not _same_encoder(number, row):
        remarks.append(OTHER_ENCODER)
    return {
        **{column: row[column] for column in ("scenario", "dataset", "condition", "method", "encoder", "seeds")},
        "measured": row["accuracy"],
        "low": row["accuracy_low"],
        "high": row["accuracy_high"],
        "difference": row["accuracy"] - number.value / 100 if same_task else float("nan"),
        "remark": "; ".join(remarks) or SAME,
    }
