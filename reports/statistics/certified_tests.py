"""Certified accuracies of methods compared query by query."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.paired_tests import PairedComparison, paired_comparisons


def certified_comparisons(certificates: pd.DataFrame, number: int) -> Iterator[tuple[str, PairedComparison]]:
    """Yield each kind of edit with comparisons of two methods: what ``number`` edits cannot take away.

    A query counts for a method if it is answered rightly and takes more edits than that to change, so that differences
    pair by query and seed. The comparisons of a kind of edit in one scenario, data set and condition are a family.

    Parameters
    ----------
    certificates : DataFrame
        What `bench certify` writes.
    number : int
        Edits; 0 compares accuracies.
    """
    stands = (certificates["correct"] & (certificates["least"] > number)).astype("int64")
    for keys, rows in certificates.assign(stands=stands).groupby([*GROUP, "edit"], sort=False):
        scenario, dataset, condition, edit = map(str, keys)
        predictions: dict[str, dict[int, PairedPredictions]] = {}
        for (method, seed), part in rows.groupby(["method", "seed"], sort=False):
            queries, found = part["query"].to_numpy(), part["stands"].to_numpy()
            by_seed = predictions.setdefault(str(method), {})
            # Right is 1 and stands for the class of every query.
            by_seed[int(str(seed))] = PairedPredictions.of_answers(queries, found * 0 + 1, found)
        made, _ = paired_comparisons([Group(scenario, dataset, condition, predictions)])
        yield from ((edit, one) for one in made)
