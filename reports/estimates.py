"""Scores that need predictions, and intervals that speak for seeds and queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports.answers import Answers, Group
from bench.reports.intervals import Estimate, Floats, estimate
from bench.reports.load import CELL

EXTRA = ["top5_accuracy", "macro_f1", "calibration_error"]
"""Scores of a cell that need its predictions."""

_BINS = 15

Key = tuple[str, str, str, str, str]
"""Scenario, data set, condition, method and score."""


def per_cell_extra(groups: Iterable[Group]) -> pd.DataFrame:
    """Return one row a cell that has predictions: top-5 accuracy, macro-F1 and calibration error."""
    rows = [
        (
            *(group.scenario, group.dataset, group.condition, method, seed),
            *(float(values.mean()) for values in (_top5(a), _f1(a), _calibration_parts(a.right, a.confidences))),
        )
        for group in groups
        for method, seeds in group.answers.items()
        for seed, a in seeds.items()
    ]
    return pd.DataFrame(rows, columns=[*CELL, *EXTRA])


def intervals(groups: Iterable[Group]) -> Mapping[Key, Estimate]:
    """Return the interval over seeds and queries of every score that is a mean over queries."""
    found: dict[Key, Estimate] = {}
    for group in groups:
        for method, seeds in group.answers.items():
            runs = [seeds[seed] for seed in sorted(seeds)]
            shared = len({run.fingerprint for run in runs}) == 1
            for score, values in _means(runs).items():
                if not any(np.isnan(v).any() for v in values):
                    key = (group.scenario, group.dataset, group.condition, method, score)
                    found[key] = estimate(values, shared=shared, episodes=runs[0].episode is not None)
    return found


def _means(runs: list[Answers]) -> dict[str, list[Floats]]:
    """Return, for every score that is a mean over queries (or episodes), what each adds to it, by seed."""
    if runs[0].episode is not None:
        return {
            "accuracy": [np.asarray(run.hits) for run in runs],
            "mean_class_recall": [_recall_by_episode(run) for run in runs],
            "top5_accuracy": [run.by_episode(_top5(run)) for run in runs],
            "macro_f1": [_f1(run) for run in runs],
            "calibration_error": [run.by_episode(_calibration_parts(run.right, run.confidences)) for run in runs],
        }
    return {
        "accuracy": [run.right.astype(np.float64) for run in runs],
        "mean_class_recall": [run.recall for run in runs],
        "average_incremental_accuracy": [run.increment for run in runs],
        "top5_accuracy": [_top5(run) for run in runs],
        "macro_f1": [_f1(run) for run in runs],
        "calibration_error": [_calibration_parts(run.right, run.confidences) for run in runs],
    }


def _top5(run: Answers) -> Floats:
    """Return whether each right class is in the top five [q]; NaN with five classes or fewer: all of them would be."""
    first = run.labels if run.episode is None else run.labels[run.episode == 0]
    return run.top5.astype(np.float64) if len(np.unique(first)) > 5 else np.full(len(run.top5), np.nan)


def _f1(run: Answers) -> Floats:
    """Return values whose mean is macro-F1: a query's part, or the macro-F1 of each episode."""
    if run.episode is None:
        return _f1_parts(run.labels, run.predictions)
    # A class of one episode is another than the same class of another episode; F1 is then a mean in each.
    label, guess = _apart(run, run.labels), _apart(run, run.predictions)
    classes, flat = np.unique(np.concatenate([label, guess]), return_inverse=True)
    hits = np.bincount(flat[: len(label)][label == guess], minlength=len(classes))
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, 2 * hits / np.bincount(flat)) / np.bincount(owner))


def _recall_by_episode(run: Answers) -> Floats:
    """Return the mean per-class recall of each episode [e]."""
    classes, flat, counts = np.unique(_apart(run, run.labels), return_inverse=True, return_counts=True)
    owner = classes // _width(run)
    return np.asarray(np.bincount(owner, np.bincount(flat, run.right) / counts) / np.bincount(owner))


def _apart(run: Answers, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that tell classes apart by episode too: episode times width plus class id."""
    assert run.episode is not None
    return np.asarray(run.episode * _width(run) + classes)


def _width(run: Answers) -> int:
    return int(max(run.labels.max(), run.predictions.max())) + 1


def macro_f1(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Return the mean over classes of 2 tp / (2 tp + fp + fn), over classes that are a label or a prediction."""
    return float(_f1_parts(labels, predictions).mean())


def _f1_parts(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> Floats:
    """Return macro-F1 as a mean over queries, by its first-order expansion in the counts.

    With F_k = 2 tp_k / s_k and s_k = n_k + g_k (labels and guesses of k), one query more of label a and guess b moves
    the sum of F by (2 [a = b] - F_a) / s_a - F_b / s_b; these moves add up to 0 over the queries.
    """
    classes, flat = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, guessed = flat[: len(labels)], flat[len(labels) :]
    hits = np.bincount(true[true == guessed], minlength=len(classes))
    both = np.bincount(true, minlength=len(classes)) + np.bincount(guessed, minlength=len(classes))
    f1 = 2 * hits / both
    moves = (2 * (true == guessed) - f1[true]) / both[true] - f1[guessed] / both[guessed]
    return np.asarray(f1.mean() + len(labels) * moves / len(classes))


def calibration_error(right: NDArray[np.bool_], confidences: Floats) -> float:
    """Return the expected calibration error with 15 bins of equal width.

    sum_b n_b / n |accuracy_b - confidence_b|; Guo et al., On Calibration of Modern Neural Networks, ICML 2017,
    arXiv:1706.04599, eq. 5. Bin i holds ((i - 1) / 15, i / 15], and the first holds 0 too.
    """
    return float(_calibration_parts(right, confidences).mean())


def _calibration_parts(right: NDArray[np.bool_], confidences: Floats) -> Floats:
    """Return calibration error as a mean over queries: each adds its gap, with the sign of its bin's."""
    bins = np.clip(np.ceil(confidences * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gap = np.bincount(bins, weights=right - confidences, minlength=_BINS)
    return np.asarray(np.sign(gap)[bins] * (right - confidences))
