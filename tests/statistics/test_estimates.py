"""Scores from predictions against scikit-learn and definitions."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from bench.reports.metrics import incremental, per_cell
from bench.reports.metrics.calibration import calibration_error, gaps
from bench.reports.metrics.definitions import METRICS
from bench.reports.metrics.influence import of_strata
from bench.reports.metrics.per_query import f1_moves, macro_f1
from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.reports.statistics.aggregate import intervals
from bench.reports.statistics.designs import TWO_SEEDS
from tests.statistics import simulations as simulate
from tests.statistics.runs import make_run

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 500) * 3
PREDICTIONS = np.where(RNG.random(500) < 0.6, LABELS, RNG.integers(0, 9, 500))


def test_macro_f1_is_that_of_scikit_learn():
    assert macro_f1(LABELS, PREDICTIONS) == pytest.approx(f1_score(LABELS, PREDICTIONS, average="macro"))


def test_plain_calibration_error_is_the_sum_over_bins():
    right, confidence = RNG.random(400) < 0.7, RNG.random(400)
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    (found,) = gaps((right, confidence))
    assert found.plain == pytest.approx(expected)
    # Far from calibrated, chance adds next to nothing.
    assert calibration_error(right, confidence) == pytest.approx(expected, rel=0.15)
    assert calibration_error(np.array([True, True]), np.array([1.0, 1.0])) == 0


def test_perfect_calibration_has_hardly_an_error():
    found = []
    for _ in range(40):
        confidence = RNG.beta(3, 1, 400)
        right = RNG.random(400) < confidence
        (one,) = gaps((right, confidence))
        found.append((one.plain, calibration_error(right, confidence)))
    plain, error = np.mean(found, axis=0)
    assert plain > 0.035
    assert error < plain / 2


def test_moves_of_macro_f1_give_the_error_of_resampling():
    n = len(LABELS)
    drawn = [RNG.integers(0, n, n) for _ in range(600)]
    resampled = np.std([macro_f1(LABELS[i], PREDICTIONS[i]) for i in drawn])
    assert np.sqrt(np.square(f1_moves(LABELS, PREDICTIONS)).sum()) == pytest.approx(resampled, rel=0.12)


def test_moves_of_recall_are_the_deviations_from_the_mean_of_the_class():
    labels = np.repeat([0, 1, 2], 40)
    right = RNG.random(120) < np.repeat([0.9, 0.5, 0.2], 40)
    found = of_strata(right * 1.0, labels)
    variances = [right[labels == c].var(ddof=1) / 40 for c in range(3)]
    assert np.square(found.moves).sum() == pytest.approx(sum(variances) / 9, rel=0.03)
    assert of_strata(np.ones(120), labels).moves == pytest.approx(np.zeros(120))


def test_influences_are_those_of_the_scores(tmp_path):
    folder = make_run(tmp_path / "r", {"m": 0.7}, seeds=(0, 1))
    group = next(groups(read_runs([folder])))
    runs = group.predictions["m"]
    table = per_cell.scores(read_runs([folder]).records).last.sort_values("cell")
    for metric in METRICS:
        if metric.of_counts is not None and metric.influence is not None:
            found = [metric.influence_on(runs[seed]).value for seed in (0, 1)]
            assert found == pytest.approx(table[metric.name].tolist()), metric.name
    for run in runs.values():
        expected = balanced_accuracy_score(run.labels, run.predictions)
        assert METRICS["mean_class_recall"].influence_on(run).value == pytest.approx(expected)
        assert METRICS["macro_f1"].influence_on(run).value == pytest.approx(macro_f1(run.labels, run.predictions))
    found = {key[-1]: interval for key, interval in intervals([group]).items()}
    assert found["accuracy"].over == TWO_SEEDS
    assert found["accuracy"].low < table["accuracy"].mean() < found["accuracy"].high


def test_forgetting_is_about_zero_where_nothing_is_forgotten():
    rng = np.random.default_rng(0)
    means = []
    for _ in range(40):
        run, _ = simulate.episode(rng, (8,) * 20, lambda labels, age: np.full(len(labels), 0.6), 1)
        arrived = [
            [
                run.history.correct[(run.history.session == t) & (run.history.label == k)].mean()
                if ((run.history.session == t) & (run.history.label == k)).any()
                else np.nan
                for k in range(20)
            ]
            for t in range(3)
        ]
        highest = incremental.mean_over_classes(incremental.forgetting_per_class(np.array(arrived)))
        means.append((METRICS["forgetting"].influence_on(run).value, float(highest)))
    ours, highest = np.mean(means, axis=0)
    assert abs(ours) < 0.01
    assert highest > 0.03
