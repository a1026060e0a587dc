"""Answers of the same methods to the same queries from two versions of the data, compared query by query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.paired_tests import PairedComparison, paired_comparisons

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Change:
    """What another version of the data changes for one method.

    Attributes
    ----------
    before, after : float
        Accuracy, mean over seeds.
    comparison : PairedComparison
        After minus before; its family is this method's.
    answers : int
        Queries with another answer, over all seeds.
    lost, won : int
        Of those, right before and wrong after, and the other way round.
    queries : int
        Over all seeds.
    """

    method: str
    before: float
    after: float
    comparison: PairedComparison
    answers: int
    lost: int
    won: int
    queries: int


def changes(answers: pd.DataFrame) -> Iterator[Change]:
    """Yield what changes for each method in each scenario, data set and condition.

    Parameters
    ----------
    answers : DataFrame
        ``method``, ``scenario``, ``dataset``, ``condition``, ``seed``, ``query``, ``label``, ``before``, ``after``.
    """
    for keys, rows in answers.groupby([*GROUP, "method"], sort=True):
        scenario, dataset, condition, method = map(str, keys)
        predictions: dict[str, dict[int, PairedPredictions]] = {BEFORE: {}, AFTER: {}}
        for seed, part in rows.groupby("seed", sort=True):
            for when, by_seed in predictions.items():
                by_seed[int(str(seed))] = PairedPredictions.of_answers(
                    *(part[name].to_numpy() for name in ("query", "label", when))
                )
        ((comparison,), _) = paired_comparisons([Group(scenario, dataset, condition, predictions)])
        right = {when: (rows[when] == rows["label"]).to_numpy() for when in (BEFORE, AFTER)}
        means = {when: np.mean([p.correct.mean() for p in runs.values()]) for when, runs in predictions.items()}
        yield Change(
            method=method,
            before=float(means[BEFORE]),
            after=float(means[AFTER]),
            comparison=comparison,
            answers=int((rows[BEFORE] != rows[AFTER]).sum()),
            lost=int((right[BEFORE] & ~right[AFTER]).sum()),
            won=int((~right[BEFORE] & right[AFTER]).sum()),
            queries=len(rows),
        )
