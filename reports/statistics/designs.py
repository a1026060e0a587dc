"""Designs: how the seeds of a group lie to each other, and for what population their intervals speak."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bench.reports.records.paired_predictions import PairedPredictions
from bench.reports.statistics.estimates import Design

ONE_SEED = "new images of these classes, this seed"
SEEDS = "new seeds and new images of these classes"
TWO_SEEDS = f"{SEEDS} (two seeds say little)"
EPISODES = "new episodes of these classes"
CLASSES = "new classes like these"

_NEVER_ALL = 0.95
"""Largest overlap that is corrected for: seeds that share more are one sample."""


def design_of(runs: Sequence[PairedPredictions]) -> Design:
    """Return the design of the seeds of one method, or of a pair, whose queries are those of ``runs``."""
    shared = _same_queries(runs)
    overlap = 0.0 if shared else min(_overlap(runs), _NEVER_ALL)
    return Design(shared=shared, overlap=overlap, over=_population(runs, shared))


def _same_queries(runs: Sequence[PairedPredictions]) -> bool:
    first = runs[0]
    return all(
        len(run.queries) == len(first.queries)
        and bool((run.queries == first.queries).all())
        and (run.episode is None or first.episode is None or bool((run.episode == first.episode).all()))
        for run in runs[1:]
    )


def _overlap(runs: Sequence[PairedPredictions]) -> float:
    """Return the mean share of queries that two seeds have in common; episodes are drawn anew and have none."""
    if runs[0].episode is not None:
        return 0.0
    sets = [frozenset(run.queries.tolist()) for run in runs]
    return float(np.mean([len(a & b) / np.sqrt(len(a) * len(b)) for a, b in combinations(sets, 2)]))


def _population(runs: Sequence[PairedPredictions], shared: bool) -> str:
    first, several = runs[0], len(runs) > 1
    if first.episode is not None:
        return f"{EPISODES} and new seeds" if several else f"{EPISODES}, this seed"
    if first.classes_drawn:
        return f"{CLASSES} and new seeds" if several else f"{CLASSES}, this seed"
    classes = {frozenset(run.labels.tolist()) for run in runs}
    if not shared and len(classes) > 1:
        return f"{CLASSES} and new seeds" + (" (two seeds say little)" if len(runs) == 2 else "")
    return (TWO_SEEDS if len(runs) == 2 else SEEDS) if several else ONE_SEED
