"""What abstaining gives: how often answers are wrong among those that a method is surest of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.reports.metrics.calibration import BINS

Floats = NDArray[np.float64]


def risk_coverage(correct: NDArray[np.bool_], confidences: Floats) -> Floats:
    """Return the share of wrong answers among the k surest for k = 1 to q, [q].

    Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017, arXiv:1705.08500. Answers of
    one confidence are kept or declined together: within them the share of wrong ones grows evenly, as it would on
    average if lots were drawn.
    """
    order = np.argsort(-confidences, kind="stable")
    sure = confidences[order]
    first = np.concatenate([[True], sure[1:] != sure[:-1]])
    group = np.cumsum(first) - 1
    wrong = ~correct[order]
    even = np.bincount(group, wrong) / np.bincount(group)
    return np.asarray(np.cumsum(even[group]) / np.arange(1, len(correct) + 1))


def area_under_risk_coverage(correct: NDArray[np.bool_], confidences: Floats) -> float:
    """Return the mean of :func:`risk_coverage` over all coverages, AURC."""
    return float(risk_coverage(correct, confidences).mean())


def reliability(correct: NDArray[np.bool_], confidences: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return mean confidence, accuracy and number of the queries in each of 15 bins of equal width; NaN without any."""
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (np.bincount(bins, values, BINS) / counts for values in (confidences, 1.0 * correct))
    return np.asarray(confidence), np.asarray(accuracy), counts
