"""Every metric is one row, and a row is all that it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.records.paired_predictions import PairedPredictions
from bench.utils.errors import BenchError


def predictions(episode: list[int] | None = None) -> PairedPredictions:
    correct = np.array([True, False, True, True])
    return PairedPredictions(
        queries=np.array(list("abcd"), dtype=object),
        labels=np.array([0, 1, 0, 1]),
        predictions=np.where(correct, [0, 1, 0, 1], 2),
        correct=correct,
        ranks=np.where(correct, 0, 5),
        set_sizes=np.full(4, np.nan),
        confidences=np.array([0.9, 0.8, 0.7, 0.6]),
        fingerprint="f",
        episode=None if episode is None else np.array(episode),
    )


def test_calibration_error_is_over_the_queries_of_all_episodes_and_has_no_interval_by_query_there() -> None:
    metric = METRICS["calibration_error"]
    whole, dealt = (replace(predictions(episode), calibrated=True) for episode in (None, [0, 0, 1, 1]))
    assert metric.from_predictions(dealt) == metric.from_predictions(whole)
    assert metric.influence_on(dealt) is None
    assert np.isnan(metric.from_predictions(predictions([0, 0, 1, 1])))


def test_rows_are_the_metrics_of_the_documentation() -> None:
    assert METRICS.names()[:2] == ["accuracy", "mean_class_recall"]
    assert all(metric.of_counts is not None or metric.influence is not None for metric in METRICS)
    assert {metric.name for metric in METRICS if metric.low < 0} == {
        "forgetting",
        "max_forgetting",
        "backward_transfer",
    }


@pytest.mark.parametrize("name", ["seeds", "n_queries", "accuracy_low", "state_bytes", "two words", "method"])
def test_a_name_that_is_another_column_is_refused(name: str) -> None:
    with pytest.raises(BenchError, match=f"a metric cannot be named '{name}'"):
        Metric(name=name, per_query=lambda p: p.confidences)


def test_a_metric_without_a_value_is_refused() -> None:
    with pytest.raises(BenchError, match="says none of"):
        Metric(name="nothing", head="nothing")


def answers(name: str, of: PairedPredictions) -> list[float]:
    found = METRICS[name].influence_on(of)
    assert found is not None
    assert found.answers is not None
    assert found.value == pytest.approx(float(found.weights @ found.answers))
    return found.answers.tolist()


def test_answers_of_queries_become_those_of_episodes() -> None:
    assert answers("accuracy", predictions()) == pytest.approx([1, 0, 1, 1])
    assert answers("accuracy", predictions([0, 0, 1, 1])) == pytest.approx([0.5, 1])
    assert answers("mean_class_recall", predictions([0, 0, 1, 1])) == pytest.approx([0.5, 1])


def test_queries_that_are_drawn_together_are_one_unit() -> None:
    pairs = replace(predictions(), clusters=np.array([0, 0, 1, 1]))
    assert answers("accuracy", pairs) == pytest.approx([0.5, 1])


def test_what_is_not_known_has_no_influence() -> None:
    assert METRICS["top5_accuracy"].influence_on(predictions()) is None
    assert METRICS["forgetting"].influence_on(predictions()) is None
    assert METRICS["calibration_error"].influence_on(predictions()) is None
    assert METRICS["calibration_error"].influence_on(replace(predictions(), calibrated=True)) is not None
