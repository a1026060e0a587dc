"""Changes over sweeps: accuracy at the last value of a swept number less that at the first, compared pairwise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.reports.records.arrow_columns import plain
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.designs import ONE_SEED, SEEDS
from bench.reports.statistics.estimates import Design, Estimate, Floats, of_differences
from bench.reports.statistics.families import holm
from bench.results.selection_packs import SELECTION_PACKS

ALL = "mean of all"
"""Stands for the mean over all data sets on which every method of a sweep was run."""


Ends = dict[str, dict[int, "End"]]
"""By method and seed, what both ends of a sweep gave on one data set."""


@dataclass(frozen=True, eq=False, kw_only=True)
class End:
    """Accuracy of one method and seed at the first and the last value, on the same queries.

    Attributes
    ----------
    first, last : float
    queries : str
        Hash of the queries; equal ones pair.
    change : float64 array [q] or None
        What each query (or episode) adds to the change, times q: the mean is last minus first. None where either end
        has no predictions.
    episodes : bool
    """

    first: float
    last: float
    queries: str
    change: Floats | None
    episodes: bool = False


def changes(
    cells: pd.DataFrame, groups: Iterable[Group], fingerprints: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row a sweep x data set x method, and what was left out because its queries differ.

    Parameters
    ----------
    cells : DataFrame
        One row a cell with ``scenario``, ``dataset``, ``condition``, ``method``, ``seed``, ``cell`` and ``accuracy``.
    groups : iterable of Group
        Their answers, as far as they have predictions.
    fingerprints : mapping
        By cell, the hash of its queries (:func:`bench.reports.records.few_shot_episodes.fingerprints`).

    Returns
    -------
    DataFrame
        ``least`` and ``largest`` are the ends of the sweep, the outermost values that all of its methods were asked at
        on all data sets. ``first`` and ``last`` are mean accuracies there, over the seeds that have both with the same
        queries; ``change`` is their difference with its 95 % interval (``low``, ``high``), which speaks
        for what ``over`` says: ``seeds and queries`` where all of these seeds have predictions, as in paired
        comparisons, else ``seeds``. ``p`` is that of the difference of changes to the method of the same row group
        that loses least, on the seeds and queries they share; ``p_holm`` the same after Holm's correction over all
        rows; NaN where it is that method or nothing can be said.
    list of str
        A line a data set and method that is left out, or of which seeds are.
    """
    answers = {(g.scenario, g.dataset, g.condition): g.predictions for g in groups}
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    for (scenario, key, others), whole in _sweeps(cells):
        least, largest = _outermost(whole)
        part = whole[whole["value"].isin((least, largest))]
        by_dataset: dict[str, Ends] = {}
        notes += [
            f"{method} on {dataset} was not asked at both ends of {scenario}, {key} {least:g} and {largest:g}, so it "
            "is not in what the sweep changes"
            for (dataset, method), values in part.groupby(["dataset", "method"], sort=True, observed=True)["value"]
            if values.nunique() < 2
        ]
        for dataset, cells_at_ends in part.groupby("dataset", sort=True, observed=True):
            ends, left = _ends(cells_at_ends, answers, fingerprints)
            notes += [
                f"{method} on {dataset} had other queries at the largest {key} of {scenario} than at the least in "
                f"{number} seeds, which are left out of what the sweep changes"
                for method, number in left.items()
            ]
            if ends:
                by_dataset[str(dataset)] = ends
        for dataset, ends in [*by_dataset.items(), *_over_all(by_dataset)]:
            rows += [
                {"scenario": scenario, "swept": key, "others": others, "dataset": dataset}
                | {"least": least, "largest": largest, **row}
                for row in _compared(ends)
            ]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"])) if rows else table, list(dict.fromkeys(notes))


def _sweeps(cells: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yield the cells of each sweep with the swept ``value``: all but one number of the condition stays the same.

    Data sets that each have one value, of their own, make no sweep.
    """
    parsed = {condition: json.loads(condition) for condition in cells["condition"].unique()}
    conditions = cells["condition"].astype(object)
    for key in sorted({key for one in parsed.values() for key in one}):
        value = {text: _number(one.get(key)) for text, one in parsed.items()}
        rest = {text: {k: one[k] for k in one if k != key} for text, one in parsed.items()}
        others = {text: json.dumps(one, sort_keys=True) for text, one in rest.items()}
        parts = cells.assign(value=conditions.map(value).astype("float64"), others=conditions.map(others))
        parts = parts.dropna(subset=["value", "accuracy"])
        for (scenario, same), part in parts.groupby(["scenario", "others"], sort=True, observed=True):
            if part.groupby("dataset", observed=True)["value"].nunique().max() > 1:
                yield (str(scenario), key, str(same)), part


def _outermost(part: pd.DataFrame) -> tuple[float, float]:
    """Return the least and the largest value that all methods with several have in common; else those of any method."""
    each = [set(values) for _, values in part.groupby(["dataset", "method"], observed=True)["value"]]
    shared = set.intersection(*(values for values in each if len(values) > 1)) if any(len(v) > 1 for v in each) else []
    values = shared if len(shared) > 1 else set().union(*each)
    return min(values), max(values)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _ends(
    part: pd.DataFrame,
    answers: Mapping[tuple[str, str, str], Mapping[str, Mapping[int, PairedPredictions]]],
    of: Mapping[str, str],
) -> tuple[Ends, dict[str, int]]:
    """Return both ends of a sweep on one data set where their queries are the same, and how many seeds they are not."""
    keys = ["method", "seed"]
    first, last = (
        part[part["value"] == end].drop_duplicates(keys) for end in (part["value"].min(), part["value"].max())
    )
    ends: Ends = {}
    left: dict[str, int] = {}
    if part["value"].nunique() < 2:
        return ends, left
    for row in plain(first.merge(last, on=keys, suffixes=("_a", "_b")).sort_values(keys)).to_dict("records"):
        method, seed = str(row["method"]), int(row["seed"])
        if of[str(row["cell_a"])] != of[str(row["cell_b"])]:
            left[method] = left.get(method, 0) + 1
            continue
        before, after = (
            answers.get((str(row[f"scenario_{e}"]), str(row[f"dataset_{e}"]), str(row[f"condition_{e}"])), {})
            .get(method, {})
            .get(seed)
            for e in "ab"
        )
        ends.setdefault(method, {})[seed] = End(
            first=float(row["accuracy_a"]),
            last=float(row["accuracy_b"]),
            queries=of[str(row["cell_a"])],
            change=None
            if before is None or after is None
            else after.per_query_accuracy.astype(np.float64) - before.per_query_accuracy,
            episodes=before is not None and before.episode is not None,
        )
    return ends, left


def _over_all(by_dataset: Mapping[str, Ends]) -> Iterator[tuple[str, Ends]]:
    """Yield the mean over data sets of the methods that were run on all of them, where there are several.

    Those on which defaults were chosen do not count.
    """
    each = [ends for dataset, ends in by_dataset.items() if dataset not in SELECTION_PACKS]
    methods = sorted(set.intersection(*(set(ends) for ends in each))) if len(each) > 1 else []
    joined = {method: _joined([ends[method] for ends in each]) for method in methods}
    joined = {method: seeds for method, seeds in joined.items() if seeds}
    if joined:
        yield f"{ALL} {len(each)}", joined


def _joined(each: Sequence[Mapping[int, End]]) -> dict[int, End]:
    """Return the mean over d data sets, by the seeds that all have; the data sets are these, and not drawn.

    With y_d the changes of the q_d queries of data set d and m_d their mean over queries and seeds, the joined changes
    are mean(m) + Q / (d q_d) (y_d - m_d), Q queries in all. Their mean in a seed is the mean over data sets, and their
    spread is that within data sets: how far these differ is no part of the error.
    """
    seeds = sorted(set.intersection(*(set(ends) for ends in each)))
    parts = [[ends[seed].change for ends in each] for seed in seeds]
    whole = [[values for values in part if values is not None] for part in parts]
    predicted = bool(seeds) and all(len(part) == len(each) for part in whole)
    by_dataset = zip(*whole, strict=True) if predicted else ()
    means = [float(np.mean([values.mean() for values in column])) for column in by_dataset]

    def change(part: Sequence[Floats]) -> Floats:
        total = sum(map(len, part))
        scaled = [total / (len(part) * len(y)) * (y - m) for y, m in zip(part, means, strict=True)]
        return np.concatenate(scaled) + float(np.mean(means))

    return {
        seed: End(
            first=float(np.mean([ends[seed].first for ends in each])),
            last=float(np.mean([ends[seed].last for ends in each])),
            queries=" ".join(ends[seed].queries for ends in each),
            change=change(part) if predicted else None,
            episodes=any(ends[seed].episodes for ends in each),
        )
        for seed, part in zip(seeds, whole, strict=True)
    }


def _compared(ends: Ends) -> Iterator[dict[str, object]]:
    """Yield the row of each method, the one that loses least first."""
    own = {method: _estimate(list(seeds.values())) for method, seeds in ends.items()}
    order = sorted(own, key=lambda method: (-own[method].mean, method))
    best = ends[order[0]]
    for method in order:
        seeds = ends[method]
        common = [s for s in seeds if s in best and seeds[s].queries == best[s].queries]
        apart = _estimate([_less(seeds[s], best[s]) for s in common]) if method != order[0] and common else None
        # Seeds that differ by exactly the same say nothing of how sure that is.
        decided = apart is not None and (apart.high > apart.low or apart.mean == 0)
        yield {
            "method": method,
            "first": float(np.mean([end.first for end in seeds.values()])),
            "last": float(np.mean([end.last for end in seeds.values()])),
            "change": own[method].mean,
            "low": own[method].low,
            "high": own[method].high,
            "over": own[method].over,
            "p": apart.p if apart is not None and decided else float("nan"),
            "seeds": len(seeds),
        }


def _less(a: End, b: End) -> End:
    """Return the change of a minus the change of b."""
    change = None if a.change is None or b.change is None else a.change - b.change
    return replace(a, first=a.first - b.first, last=a.last - b.last, change=change)


def _estimate(pairs: Sequence[End]) -> Estimate:
    """Return the mean change, over seeds and queries where all have predictions, else over seeds."""
    values = [end.change for end in pairs if end.change is not None]
    if len(values) < len(pairs):
        means = [np.array([end.last - end.first]) for end in pairs]
        return of_differences(means, Design(shared=False, overlap=0.0, over="new seeds, these queries"))
    shared = len({end.queries for end in pairs}) == 1
    over = SEEDS if len(pairs) > 1 else ONE_SEED
    return of_differences(values, Design(shared=shared, overlap=0.0, over=over))
