"""Marks of tables: the best mean of each column, and the methods that are not shown to be worse than it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import pandas as pd

from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.families import ALPHA, holm
from bench.reports.statistics.paired_tests import differences, pair

BEST = "best"
OPEN = "open"

_SUMMED = 1e-12
"""By how much means may differ that are equal but for the order in which they were summed."""

Marks = Mapping[tuple[str, str, str, str, str], str]
"""By scenario, data set, condition, method and metric: :data:`BEST` or :data:`OPEN`; others are shown to be worse."""


def marks(groups: Iterable[Group], means: pd.DataFrame) -> Marks:
    """Return the marks of every column that has a test: of each group the best mean, or means, and what may be as good.

    The best is picked after looking, so the p-values are those of all pairs of methods of the group in that metric,
    after Holm's correction, whatever family was declared for the comparisons. A method that has no pair with the best,
    because its queries or seeds differ, is not shown to be worse. A group with one method has no mark.
    """
    found: dict[tuple[str, str, str, str, str], str] = {}
    rows = means.set_index([*GROUP, "method"])
    for group in groups:
        for metric in METRICS:
            if not metric.head or metric.biased or metric.bounds is not None or len(group.predictions) < 2:
                continue
            values = rows[metric.name].reindex([(*group.key, method) for method in sorted(group.predictions)]).dropna()
            if len(values) < 2:
                continue
            methods = [str(key[-1]) for key in values.index]
            signed = -values.to_numpy() if metric.lower_is_better else values.to_numpy()
            best = methods[int(signed.argmax())]
            equal = {method for method, value in zip(methods, signed, strict=True) if value > signed.max() - _SUMMED}
            worse = shown_worse(group, methods, best, metric)
            found |= {
                (*group.key, method, metric.name): BEST if method in equal else OPEN
                for method in methods
                if method not in worse
            }
    return found


def shown_worse(group: Group, methods: Sequence[str], best: str, metric: Metric) -> set[str]:
    """Return those of some methods that are shown to be worse than the best, after Holm over all their pairs."""
    pairs = [found for a, b in combinations(methods, 2) if (found := pair(group, a, b)[0]) is not None]
    tested = [(p, d) for p, d in zip(pairs, differences(pairs, metric), strict=True) if d is not None]
    worse = set()
    for (p, d), corrected in zip(tested, holm([d.p_holm_input for _, d in tested]), strict=True):
        ahead = p.a if (d.mean > 0) != metric.lower_is_better else p.b
        if corrected < ALPHA and best in (p.a, p.b) and ahead == best:
            worse.add(p.b if best == p.a else p.a)
    return worse
