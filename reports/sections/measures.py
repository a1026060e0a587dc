"""The table of what scenarios measure beside accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.measures import HEIGHTS, measures
from bench.reports.records.keys import GROUP
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, without_constants
from bench.reports.utils.text import natural


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield a table a scenario, and all numbers as a file; nothing where no scenario measures more."""
    found = measures(analysis.records)
    if found.empty:
        return
    for scenario, part in found.groupby("scenario", sort=True):
        yield table(str(scenario), part)
    yield DataFile("measures", found, parquet=True)


def table(scenario: str, found: pd.DataFrame) -> Table:
    """Return what one scenario measures, a column a measure."""
    names = list(dict.fromkeys(found["measure"]))
    rows = []
    for key, part in sorted(found.groupby([*GROUP, "method"]), key=lambda pair: natural("|".join(map(str, pair[0])))):
        own = part.set_index("measure")
        group = dict(zip([*GROUP, "method"], map(str, key), strict=True))
        cells = [_cell(own, name) for name in names]
        rows.append((*names_of(group), Cell(group["method"], group["method"]), *cells))
    caption = (
        "Means over seeds of what the scenario measures beside accuracy (docs/scenarios.md says what each is), in per "
        "cent but for heights, with 95 % limits: of resampled queries, and with several seeds of Student's t over "
        "seeds too. Effective robustness: accuracy after the shift above what a line through the logits of the other "
        "methods' accuracies before and after it leads one to expect; it has no limits."
    )
    head = ("scenario", "data set", "condition", "method", *(name.replace("_", " ") for name in names))
    return without_constants(Table(f"measures-{scenario}", f"What {scenario} measures", caption, head, tuple(rows)))


def _cell(own: pd.DataFrame, name: str) -> Cell:
    values = own.loc[[name], ["value", "low", "high"]].to_numpy(dtype="float64")[0] if name in own.index else [math.nan]
    if math.isnan(values[0]):
        return Cell("-", -math.inf)
    scale, form = (1.0, "{:.2f}") if name in HEIGHTS else (100.0, "{:.1f}")
    value, low, high = (form.format(scale * number + 0.0) for number in values)
    text = value if math.isnan(values[1]) else f"{value} [{low}, {high}]"
    return Cell(text, float(values[0]))
