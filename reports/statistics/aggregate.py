"""The summary: a row a method x group x seed, then the mean over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.forms.intervals import t_interval
from bench.reports.forms.limits import share_limits
from bench.reports.metrics import cost
from bench.reports.metrics.cost import COSTS
from bench.reports.metrics.definitions import FACTS, METRICS, Metric
from bench.reports.metrics.per_cell import Scores, counted_metrics
from bench.reports.records import few_shot_episodes
from bench.reports.records.arrow_columns import lengths, plain
from bench.reports.records.keys import CELL, GROUP
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.designs import ONE_SEED, design_of
from bench.reports.statistics.estimates import Design, estimate

Key = tuple[str, str, str, str, str]
"""Scenario, data set, condition, method and metric."""


@dataclass(frozen=True)
class Interval:
    """The 95 % bounds of a mean over seeds, and what they speak for."""

    low: float
    high: float
    n_seeds: int
    over: str


def from_predictions(groups: Iterable[Group]) -> pd.DataFrame:
    """Return one row a cell that has predictions: the metrics that the records' counts do not give."""
    metrics = [metric for metric in METRICS if metric.of_counts is None]
    rows = [
        (*group.key, method, seed, *(metric.from_predictions(predictions) for metric in metrics))
        for group in groups
        for method, seeds in group.predictions.items()
        for seed, predictions in seeds.items()
    ]
    return pd.DataFrame(rows, columns=[*CELL, *(metric.name for metric in metrics)])


def intervals(groups: Iterable[Group]) -> Mapping[Key, Interval]:
    """Return the interval over seeds and queries of every metric that has the influence of queries."""
    found: dict[Key, Interval] = {}
    for group in groups:
        for method, seeds in group.predictions.items():
            runs = [seeds[seed] for seed in sorted(seeds)]
            design = design_of(runs)
            for metric in METRICS:
                interval = _interval(metric, runs, design)
                if interval is not None:
                    found[*group.key, method, metric.name] = interval
    return found


def _interval(metric: Metric, runs: Sequence[PairedPredictions], design: Design) -> Interval | None:
    samples = [sample for run in runs if (sample := metric.influence_on(run)) is not None]
    if len(samples) < len(runs):
        return None
    if metric.bounds is not None:
        return Interval(*metric.bounds(runs, design.shared), len(runs), design.over)
    whole = estimate(samples, design, metric.kind)
    return Interval(whole.low, whole.high, whole.n_seeds, whole.over)


def per_cell(records: pd.DataFrame, scored: Scores, predicted: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell: what it is, its metrics after the last session, and its cost.

    Of a cell of few-shot episodes metrics are means over episodes, and calibration error is over the queries of all.

    Parameters
    ----------
    records : DataFrame
    scored : Scores
        What :func:`bench.reports.metrics.per_cell.scores` makes of the records.
    predicted : DataFrame
        What :func:`from_predictions` gives; a cell that is not in it has null for those metrics.
    """
    of_episodes = records[records["cell"].isin(few_shot_episodes.independent(records))]
    parts = [scored.last] if len(scored.last) else []
    if len(of_episodes):
        parts.append(few_shot_episodes.scores(of_episodes).reindex(columns=["cell", *counted_metrics()]))
    ends = pd.concat(parts, ignore_index=True).set_index("cell")
    read = [*CELL, "n_queries", "fidelity", "selection", "encoder", "branches"]
    frame = records[["cell", "session", *read]].assign(n_classes=lengths(records["classes"]))
    frame = frame.sort_values(["cell", "session"], kind="stable")
    last = plain(frame.drop_duplicates("cell", keep="last")).set_index("cell")
    facts = last[[*read, "n_classes"]].assign(sessions=frame.groupby("cell").size())
    dealt = few_shot_episodes.facts(of_episodes)
    facts["n_queries"] = dealt["n_queries"].reindex(facts.index).fillna(facts["n_queries"]).astype("int64")
    facts["episodes"] = dealt["episodes"].reindex(facts.index).astype("Int64")
    joined = facts.join(cost.per_cell(records)).join(ends).reset_index()
    joined = joined.merge(predicted, on=CELL, how="left")
    return joined.sort_values(CELL, ignore_index=True)[[*CELL, *FACTS, *METRICS.names(), *COSTS, "cell"]]


def per_session(records: pd.DataFrame, scored: Scores) -> pd.DataFrame:
    """Return one row a cell and session: accuracy on all, old and new classes, and mean per-class recall."""
    named = records[[*CELL, "cell"]].drop_duplicates("cell").sort_values(CELL, kind="stable", ignore_index=True)
    place = pd.Series(named.index, index=named["cell"].astype("str"))[scored.last["cell"]].to_numpy()
    frame = scored.sessions.assign(place=place[scored.sessions["place"]])
    frame = frame.sort_values(["place", "session"], ignore_index=True)
    cells = named.iloc[frame["place"].to_numpy(dtype=np.int64)].reset_index(drop=True)
    return cells[CELL].join(frame.drop(columns="place")).assign(cell=cells["cell"])


def over_seeds(cells: pd.DataFrame, bounds: Mapping[Key, Interval]) -> pd.DataFrame:
    """Return one row a group and method: the mean over its seeds, with 95 % bounds of every metric.

    ``bounds`` are the intervals where the predictions of all seeds give them; elsewhere the bounds are Student's over
    seeds. With one seed those of accuracy are Clopper and Pearson's over its queries, if it has no episodes. ``over``
    is what the interval of accuracy speaks for.
    """
    keys = [*GROUP, "method"]
    rows = []
    for key, part in cells.groupby(keys, sort=True):
        row = dict(zip(keys, key, strict=True)) | {"seeds": len(part), "over": ""}
        for metric in METRICS:
            values = part[metric.name].to_numpy(dtype=np.float64)
            interval = _without_predictions(metric, part, values)
            better = bounds.get((str(key[0]), str(key[1]), str(key[2]), str(key[3]), metric.name))
            # Bounds from some of the seeds would lie around another mean than the one that is shown.
            if better is not None and better.n_seeds == len(values):
                interval = better
            if metric.biased:
                interval = Interval(np.nan, np.nan, len(values), "")
            mean = values.mean()
            low, high = np.clip([interval.low, interval.high], metric.low, metric.high)
            # The same mean summed in another order differs in its last bit, which must not put it outside.
            row |= {metric.name: mean}
            row |= {f"{metric.name}_low": np.minimum(low, mean), f"{metric.name}_high": np.maximum(high, mean)}
            if metric.name == "accuracy":
                row["over"] = interval.over
        row |= {fact: _common(part[fact]) for fact in FACTS}
        row |= {str(name): mean for name, mean in part[COSTS].astype("float64").mean().items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _without_predictions(metric: Metric, part: pd.DataFrame, values: NDArray[np.float64]) -> Interval:
    """Return the interval that the records alone give."""
    if len(values) == 1 and metric.name == "accuracy" and part["episodes"].isna().all():
        n = int(part["n_queries"].iloc[0])
        low, high = share_limits(round(values[0] * n), n)
        return Interval(float(low), float(high), 1, ONE_SEED)
    return Interval(*t_interval(values), len(values), "new seeds, these queries" if len(values) > 1 else "")


def _common(values: pd.Series) -> object:
    """Return the value all seeds share, or all of them in words."""
    distinct = sorted({str(v): v for v in values.unique()}.items())
    return distinct[0][1] if len(distinct) == 1 else "/".join(name for name, _ in distinct)


def summary(cells: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``summary.csv``: a row a seed, then the row ``mean``, for each method of each group."""
    metrics = METRICS.names()
    bounds = [f"{name}_{side}" for name in metrics for side in ("low", "high")]
    seeds = cells.drop(columns="cell").assign(seed=cells["seed"].astype(str), over="", rank=0, number=cells["seed"])
    means = means.assign(seed="mean", rank=1, number=0)
    both = pd.concat([seeds, means], ignore_index=True)
    both = both.sort_values([*GROUP, "method", "rank", "number"], kind="stable", ignore_index=True)
    return both[[*GROUP, "method", "seed", "seeds", "over", *FACTS, *metrics, *bounds, *COSTS]]
