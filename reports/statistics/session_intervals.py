"""Intervals of accuracy after each session, from the same answers and by the same forms as those of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.reports.metrics.influence import Influence
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.statistics.designs import design_of
from bench.reports.statistics.estimates import estimate

SessionKey = tuple[str, str, str, str, str, int]
"""Scenario, data set, condition, method, score and session."""

SessionBounds = Mapping[SessionKey, tuple[float, float]]

SCORES = ("accuracy", "old_accuracy", "new_accuracy", "start_accuracy", "later_accuracy")


def session_bounds(groups: Iterable[Group]) -> SessionBounds:
    """Return the 95 % bounds of each score after each session, where all seeds have the answers of all sessions.

    Which classes a seed has met after a session depends on its order; a query it was not asked yet moves nothing. The
    orders are part of what new seeds bring, the classes are these.
    """
    found: dict[SessionKey, tuple[float, float]] = {}
    for group in groups:
        for method, seeds in group.predictions.items():
            runs = [seeds[seed] for seed in sorted(seeds)]
            histories = [run.history for run in runs if run.history is not None]
            if not runs or len(histories) < len(runs):
                continue
            design = design_of(runs)
            for session in range(min(int(history.session.max()) for history in histories) + 1):
                for score in SCORES:
                    samples = [sample for run in runs if (sample := _influence(run, score, session)) is not None]
                    if len(samples) == len(runs):
                        e = estimate(samples, design, "share")
                        found[*group.key, method, score, session] = max(e.low, 0.0), min(e.high, 1.0)
    return found


def _influence(run: PairedPredictions, score: str, session: int) -> Influence | None:
    """Return the influence of the last session's queries on a score after a session; None where none was asked."""
    asked = run.history
    assert asked is not None
    first = np.full(int(run.labels.max()) + 1, asked.session.max() + 1)
    np.minimum.at(first, asked.label, asked.session)
    rows = (asked.session == session) & _among(first[asked.label], score, session)
    n, size = int(rows.sum()), len(run.labels)
    if not n:
        return None
    right = asked.correct[rows]
    value = float(right.mean())
    moves, answers, weights = np.zeros(size), np.zeros(size), np.zeros(size)
    place = asked.place[rows]
    moves[place] = (right - value) / np.sqrt(n * max(n - 1, 1))
    answers[place] = right
    weights[place] = 1 / n
    return Influence(value, moves, answers, weights)


def _among(arrival: NDArray[np.int64], score: str, session: int) -> NDArray[np.bool_]:
    """Return which classes a score is over, by the session in which each arrives."""
    among = {
        "accuracy": arrival <= session,
        "old_accuracy": arrival < session,
        "new_accuracy": arrival == session,
        "start_accuracy": arrival == 0,
        "later_accuracy": arrival > 0,
    }
    return np.asarray(among[score])
