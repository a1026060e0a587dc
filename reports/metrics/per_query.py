"""Metrics as means over queries: what each query, or each few-shot episode, adds to a metric.

A metric that is a mean over queries has an interval over queries; those that are none (macro-F1, calibration error)
are written as one by their first-order expansion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.reports.records.paired_predictions import PairedPredictions

Floats = NDArray[np.float64]

_BINS = 15


def recall(run: PairedPredictions) -> Floats:
    """Return what a query adds to mean per-class recall, times q [q]: q right / (c n_k) for a query of class k."""
    _, inverse, counts = np.unique(run.labels, return_inverse=True, return_counts=True)
    return np.asarray(run.correct * (len(run.labels) / (len(counts) * counts[inverse])))


def recall_by_episode(run: PairedPredictions) -> Floats:
    """Return the mean per-class recall of each episode [e]."""
    classes, flat, counts = np.unique(_episode_classes(run, run.labels), return_inverse=True, return_counts=True)
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, np.bincount(flat, run.correct) / counts) / np.bincount(owner))


def top5(run: PairedPredictions) -> Floats:
    """Return whether each right class is in the top five [q]; NaN with five classes or fewer: all of them would be."""
    first = run.labels if run.episode is None else run.labels[run.episode == 0]
    return run.top5.astype(np.float64) if len(np.unique(first)) > 5 else np.full(len(run.top5), np.nan)


def macro_f1(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Return the mean over classes of 2 tp / (2 tp + fp + fn), over classes that are a label or a prediction."""
    return float(f1_parts(labels, predictions).mean())


def f1_parts(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> Floats:
    """Return macro-F1 as a mean over queries [q], by its first-order expansion in the counts.

    With F_k = 2 tp_k / s_k and s_k = n_k + g_k (labels and guesses of k), one query more of label a and guess b moves
    the sum of F by (2 [a = b] - F_a) / s_a - F_b / s_b; these moves add up to 0 over the queries.
    """
    classes, flat = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, guessed = flat[: len(labels)], flat[len(labels) :]
    correct = np.bincount(true[true == guessed], minlength=len(classes))
    both = np.bincount(true, minlength=len(classes)) + np.bincount(guessed, minlength=len(classes))
    f1 = 2 * correct / both
    moves = (2 * (true == guessed) - f1[true]) / both[true] - f1[guessed] / both[guessed]
    return np.asarray(f1.mean() + len(labels) * moves / len(classes))


def f1_by_episode(run: PairedPredictions) -> Floats:
    """Return the macro-F1 of each episode [e]."""
    # A class of one episode is another than the same class of another episode; F1 is then a mean in each.
    label, guess = _episode_classes(run, run.labels), _episode_classes(run, run.predictions)
    classes, flat = np.unique(np.concatenate([label, guess]), return_inverse=True)
    correct = np.bincount(flat[: len(label)][label == guess], minlength=len(classes))
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, 2 * correct / np.bincount(flat)) / np.bincount(owner))


def _episode_classes(run: PairedPredictions, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that tell classes apart by episode too: episode times width plus class id."""
    assert run.episode is not None
    return np.asarray(run.episode * _width(run) + classes)


def _width(run: PairedPredictions) -> int:
    return int(max(run.labels.max(), run.predictions.max())) + 1


def calibration_error(correct: NDArray[np.bool_], confidences: Floats) -> float:
    """Return the expected calibration error with 15 bins of equal width.

    sum_b n_b / n |accuracy_b - confidence_b|; Guo et al., On Calibration of Modern Neural Networks, ICML 2017,
    arXiv:1706.04599, eq. 5. Bin i holds ((i - 1) / 15, i / 15], and the first holds 0 too.
    """
    return float(calibration_parts(correct, confidences).mean())


def calibration_parts(correct: NDArray[np.bool_], confidences: Floats) -> Floats:
    """Return calibration error as a mean over queries [q]: each adds its gap, with the sign of its bin's."""
    bins = np.clip(np.ceil(confidences * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gap = np.bincount(bins, weights=correct - confidences, minlength=_BINS)
    return np.asarray(np.sign(gap)[bins] * (correct - confidences))
