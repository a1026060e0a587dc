"""Effect of near-duplicates: accuracy with and without the queries that have one among the images dealt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group
from bench.reports.tables.table import percent
from bench.reports.utils.text import condition_text

LARGE_SHARE = 0.01
"""Share of queries with a near-duplicate above which a reader is warned."""

LARGE_CHANGE = 0.001
"""Change of accuracy without them above which a reader is warned."""

COLUMNS = ["n_queries", "n_near_duplicates", "accuracy", "accuracy_without", "difference"]


def near_duplicates(records: pd.DataFrame, episodes: set[str]) -> pd.DataFrame:
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
    counted = records[[*keys, "cell", "session", *counts]].dropna(subset=counts[2:])
    counted = counted.sort_values(["cell", "session"], kind="stable")
    last = counted["cell"].isin(episodes) | ~counted.duplicated("cell", keep="last")
    cells = counted[last].astype(dict.fromkeys(counts, "int64")).groupby(keys, sort=True)[counts].sum()
    cells = plain(cells.reset_index())
    if cells.empty:
        return pd.DataFrame(columns=columns)
    left = cells["n_queries"] - cells["n_near_duplicates"]
    right = cells["n_correct"] - cells["n_near_duplicates_correct"]
    cells["accuracy"] = cells["n_correct"] / cells["n_queries"]
    cells["accuracy_without"] = np.where(left > 0, right / left.where(left > 0, 1), np.nan)
    cells["difference"] = cells["accuracy"] - cells["accuracy_without"]
    by_method = cells.groupby([*GROUP, "method"], sort=True)
    means = by_method[COLUMNS].mean().assign(seeds=by_method.size())
    # With a seed that has no query left, the two accuracies would be means over different seeds.
    whole = by_method["difference"].count() == means["seeds"]
    compared = ["accuracy_without", "difference"]
    means[compared] = means[compared].where(whole, axis=0)
    return means.reset_index()[columns]


def warnings(audited: pd.DataFrame) -> list[str]:
    """Return a line a scenario and data set where near-duplicates are many and matter, with the largest change."""
    share = audited["n_near_duplicates"] / audited["n_queries"]
    size = audited["difference"].abs()
    bad = audited.assign(share=share, size=size)[(share > LARGE_SHARE) & (size > LARGE_CHANGE)]
    lines = []
    for (scenario, dataset), part in bad.groupby(["scenario", "dataset"], sort=True):
        worst = part.sort_values("size", ascending=False, kind="stable").iloc[0]
        words = condition_text(str(worst["condition"]))
        where = f" ({words})" if words else ""
        lines.append(
            f"{scenario} on {dataset}: up to {percent(part['share'].max())} % of queries have a near-duplicate among "
            f"the images dealt; without these queries {worst['method']}{where} moves from "
            f"{percent(worst['accuracy'], 2)} to {percent(worst['accuracy_without'], 2)} % (see Audit)"
        )
    return lines


def clustered(groups: Iterable[Group]) -> Iterator[str]:
    """Yield a line that names the data sets whose queries are near-duplicates of one another: these are one draw."""
    most: dict[tuple[str, str], tuple[int, int]] = {}
    for group in groups:
        for runs in group.predictions.values():
            for run in runs.values():
                if run.clusters is not None and not run.classes_drawn:
                    key = (group.scenario, group.dataset)
                    most[key] = max(most.get(key, (0, 0)), (len(run.queries), int(run.clusters.max()) + 1))
    if most:
        places = "; ".join(
            f"{scenario} on {dataset}, {draws} draws for {queries} queries"
            for (scenario, dataset), (queries, draws) in sorted(most.items())
        )
        yield f"queries that are near-duplicates of one another count as one draw in intervals and tests: {places}"
