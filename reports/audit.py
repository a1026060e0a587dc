"""What near-duplicates of the queries are worth: accuracy with and without the queries that have one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bench.reports.columns import plain
from bench.reports.load import GROUP
from bench.reports.style import condition_text
from bench.reports.tables import Cell, Table, names_of, ordered, percent, without_constants

LARGE_SHARE = 0.01
"""Share of queries with a near-duplicate above which a reader is warned."""

LARGE_CHANGE = 0.001
"""Change of accuracy without them above which a reader is warned."""

COLUMNS = ["n_queries", "n_near_duplicates", "accuracy", "accuracy_without", "difference"]


def audit(records: pd.DataFrame, episodes: set[str]) -> pd.DataFrame:
    """Return one row a group and method: accuracy over all queries, and over those without a near-duplicate.

    Counts and accuracies are means over the seeds that were audited. The queries are those of the last session, or of
    all sessions for the cells in ``episodes``, whose sessions are problems of their own.

    Returns
    -------
    DataFrame
        Scenario, data set, condition, method, seeds and :data:`COLUMNS`; ``difference`` is the accuracy on all queries
        minus that without, and is null where every query of a seed has a near-duplicate.
    """
    columns = [*GROUP, "method", "seeds", *COLUMNS]
    counts = ["n_queries", "n_correct", "n_near_duplicates", "n_near_duplicates_correct"]
    keys = [*GROUP, "method", "seed"]
    known = records[[*keys, "cell", "session", *counts]].dropna(subset=counts[2:])
    known = known.sort_values(["cell", "session"], kind="stable")
    last = known["cell"].isin(episodes) | ~known.duplicated("cell", keep="last")
    cells = known[last].astype(dict.fromkeys(counts, "int64")).groupby(keys, sort=True)[counts].sum()
    cells = plain(cells.reset_index())
    if cells.empty:
        return pd.DataFrame(columns=columns)
    left = cells["n_queries"] - cells["n_near_duplicates"]
    right = cells["n_correct"] - cells["n_near_duplicates_correct"]
    cells["accuracy"] = cells["n_correct"] / cells["n_queries"]
    cells["accuracy_without"] = np.where(left > 0, right / left.where(left > 0, 1), np.nan)
    cells["difference"] = cells["accuracy"] - cells["accuracy_without"]
    by_method = cells.groupby([*GROUP, "method"], sort=True)
    found = by_method[COLUMNS].mean().assign(seeds=by_method.size())
    # With a seed that has no query left, the two accuracies would be means over different seeds.
    whole = by_method["difference"].count() == found["seeds"]
    compared = ["accuracy_without", "difference"]
    found[compared] = found[compared].where(whole, axis=0)
    return found.reset_index()[columns]


def table(found: pd.DataFrame) -> Table:
    """Return the audit as a table."""
    rows = []
    for row in ordered(found):
        share = row["n_near_duplicates"] / row["n_queries"]
        warned = share > LARGE_SHARE and abs(row["difference"]) > LARGE_CHANGE
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"])),
                Cell(f"{row['n_near_duplicates']:g}", float(row["n_near_duplicates"])),
                Cell(f"{row['n_queries']:g}", float(row["n_queries"])),
                Cell(percent(share), float(share)),
                *(Cell(_percent2(row[c]), float(row[c])) for c in ("accuracy", "accuracy_without")),
                Cell(_points(row["difference"]), float(row["difference"]), bold=warned),
            )
        )
    caption = (
        "A query with a near-duplicate (cosine of 0.97 or more, unless its data set declares another threshold) among "
        "the support, memory or training images dealt to its episode may be answered by recognising the image. Counts "
        "and accuracies are means over seeds, over the queries of the last session. Bold: more than 1 % of the "
        "queries have one, and without them accuracy changes by more than 0.1 points."
    )
    head = (
        *("scenario", "data set", "condition", "method", "near-duplicates", "queries", "of queries %"),
        *("accuracy %", "without %", "difference, points"),
    )
    return without_constants(Table("audit", "Audit", caption, head, tuple(rows)))


def warnings(found: pd.DataFrame) -> list[str]:
    """Return a line a scenario and data set where near-duplicates are many and matter, with the largest change."""
    share = found["n_near_duplicates"] / found["n_queries"]
    size = found["difference"].abs()
    bad = found.assign(share=share, size=size)[(share > LARGE_SHARE) & (size > LARGE_CHANGE)]
    said = []
    for (scenario, dataset), part in bad.groupby(["scenario", "dataset"], sort=True):
        worst = part.sort_values("size", ascending=False, kind="stable").iloc[0]
        words = condition_text(str(worst["condition"]))
        where = f" ({words})" if words else ""
        said.append(
            f"{scenario} on {dataset}: up to {percent(part['share'].max())} % of queries have a near-duplicate among "
            f"the images dealt; without these queries {worst['method']}{where} moves from "
            f"{_percent2(worst['accuracy'])} to {_percent2(worst['accuracy_without'])} % (see Audit)"
        )
    return said


def _percent2(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{round(100 * value, 2) + 0.0:+.2f}"
