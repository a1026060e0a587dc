"""What an answer costs a user: milliseconds, bytes and labels of each method in each group."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.reports.records.labels_seen import labels_seen
from bench.reports.records.oracle import ORACLE

TIMED = "milliseconds of an answer, one query at a time"
IN_BLOCKS = "milliseconds a query, in blocks as the run asked them"


@dataclass(frozen=True, eq=False)
class Costs:
    """Accuracy and costs of every method that may be chosen.

    Attributes
    ----------
    frame : DataFrame
        One row a group and method, oracles left out: ``accuracy`` with its bounds, ``ms``, ``mib`` and ``labels``,
        labelled images a class whose label was read; NaN for what was not measured.
    timed : bool
        Whether ``ms`` is of one query at a time, as ``bench run --latency`` measures it; else of a query in blocks.
    """

    frame: pd.DataFrame
    timed: bool

    @property
    def ms_means(self) -> str:
        """What the milliseconds are of, in words."""
        return TIMED if self.timed else IN_BLOCKS


def costs(analysis: Analysis) -> Costs:
    """Return what each method costs in each group; mean over seeds."""
    means = analysis.means[analysis.means["selection"] != ORACLE]
    keys = [*GROUP, "method"]
    timed = bool(means["answer_1_ms"].notna().all())
    seen = labels_seen(analysis.records)
    frame = means[[*keys, "accuracy", "accuracy_low", "accuracy_high"]].copy()
    frame["ms"] = means["answer_1_ms"] if timed else means.merge(_in_blocks(analysis.records), how="left")["ms"].values
    frame["mib"] = means["state_bytes"] / 2**20
    frame["labels"] = [
        seen.get((s, d, c, m), math.nan) / _largest(n)
        for s, d, c, m, n in means[[*keys, "n_classes"]].astype("str").itertuples(index=False, name=None)
    ]
    return Costs(frame.reset_index(drop=True), timed)


def _largest(classes: str) -> int:
    return max(map(int, classes.split("/")))


def _in_blocks(records: pd.DataFrame) -> pd.DataFrame:
    """Return the milliseconds of a query by group and method, from the seconds of all sessions; mean over seeds."""
    keys = [*GROUP, "method"]
    columns = ["retrieve_seconds", "score_seconds", "n_queries"]
    sums = records[columns].astype("float64").groupby(records["cell"], sort=False, observed=True).sum(min_count=1)
    # A cell is of one group and method: a million sessions are grouped by it, not by five texts.
    whole = plain(records[["cell", *keys]].drop_duplicates("cell")).reset_index(drop=True)
    whole = whole.join(sums.reset_index(drop=True))
    seconds = whole["retrieve_seconds"].fillna(0) + whole["score_seconds"]
    made = whole.assign(ms=1000 * seconds / whole["n_queries"].replace(0, np.nan))
    return made.groupby(keys, sort=False)["ms"].mean().reset_index().astype(dict.fromkeys(keys, "str"))
