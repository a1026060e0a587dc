"""Scores from predictions against scikit-learn and definitions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from bench.reports.metrics.per_query import calibration_error, f1_parts, macro_f1
from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.reports.statistics.aggregate import intervals
from tests.statistics.runs import make_run

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 500) * 3
PREDICTIONS = np.where(RNG.random(500) < 0.6, LABELS, RNG.integers(0, 9, 500))


def test_macro_f1_is_that_of_scikit_learn():
    assert macro_f1(LABELS, PREDICTIONS) == pytest.approx(f1_score(LABELS, PREDICTIONS, average="macro"))


def test_calibration_error_is_the_sum_over_bins():
    right, confidence = RNG.random(400) < 0.7, RNG.random(400)
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(right, confidence) == pytest.approx(expected)
    assert calibration_error(np.array([True, True]), np.array([1.0, 1.0])) == 0


def test_parts_of_macro_f1_give_the_error_of_resampling():
    n = len(LABELS)
    drawn = [RNG.integers(0, n, n) for _ in range(600)]
    resampled = np.std([macro_f1(LABELS[i], PREDICTIONS[i]) for i in drawn])
    assert f1_parts(LABELS, PREDICTIONS).std() / np.sqrt(n) == pytest.approx(resampled, rel=0.12)


def test_means_over_queries_are_the_scores(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.7}, seeds=(0, 1))
    group = next(groups(read_runs([folder])))
    found = {key[-1]: e for key, e in intervals([group]).items()}
    runs = list(group.predictions["m"].values())
    recall = np.mean([balanced_accuracy_score(r.labels, r.predictions) for r in runs])
    assert found["mean_class_recall"].mean == pytest.approx(recall)
    assert found["accuracy"].mean == pytest.approx(np.mean([r.correct.mean() for r in runs]))
    table = read_runs([folder]).records
    each = table["n_correct"] / table["n_queries"]
    assert found["average_incremental_accuracy"].mean == pytest.approx(each.mean())
    assert found["accuracy"].over == "seeds and queries"
