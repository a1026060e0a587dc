"""One method in two encoders' spaces, paired query by query: the same images, shots and orders under other names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from bench.reports.metrics.definitions import METRICS
from bench.reports.records.arrow_columns import plain
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.estimates import Estimate
from bench.reports.statistics.families import holm
from bench.reports.statistics.paired_tests import Pair, differences


@dataclass(frozen=True)
class EncoderComparison:
    """A method on data set ``a`` against the same on ``b``, the same images by another encoder; a minus b."""

    scenario: str
    condition: str
    method: str
    a: str
    b: str
    seeds: int
    difference: Estimate
    p_holm: float
    size: int


def across_encoders(groups: Iterable[Group], records: pd.DataFrame) -> list[EncoderComparison]:
    """Return the comparisons of every scenario and condition; each data set's images make a family."""
    if "items" not in records or records["items"].isna().all():
        return []
    known = plain(records[[*GROUP, "items"]].dropna(subset="items").drop_duplicates())
    items = {(row[0], row[1], row[2]): row[3] for row in known.itertuples(index=False, name=None)}
    families: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        if group.key in items:
            families.setdefault((group.scenario, group.condition, str(items[group.key])), []).append(group)
    found: list[EncoderComparison] = []
    for (scenario, condition, _), members in families.items():
        pairs = [
            (method, one.dataset, two.dataset, made)
            for one, two in combinations(members, 2)
            for method in sorted(set(one.predictions) & set(two.predictions))
            if (made := _pair(method, one, two)) is not None
        ]
        estimated = differences([made for *_, made in pairs], METRICS["accuracy"])
        rows = [(*pair, d) for pair, d in zip(pairs, estimated, strict=True) if d is not None]
        corrected = holm([d.p_holm_input for *_, d in rows])
        found += [
            EncoderComparison(scenario, condition, method, a, b, len(made.seeds), d, float(p), len(rows))
            for (method, a, b, made, d), p in zip(rows, corrected, strict=True)
        ]
    return found


def _pair(method: str, one: Group, two: Group) -> Pair | None:
    """Return the seeds in which a method met the same queries, by their ids and labels, in both spaces."""
    a, b = one.predictions[method], two.predictions[method]
    seeds = tuple(seed for seed in sorted(set(a) & set(b)) if _same(a[seed], b[seed]))
    return Pair(one.dataset, two.dataset, seeds, tuple((a[s], b[s]) for s in seeds)) if seeds else None


def _same(a: PairedPredictions, b: PairedPredictions) -> bool:
    return (
        len(a.queries) == len(b.queries) and bool((a.queries == b.queries).all()) and bool((a.labels == b.labels).all())
    )
