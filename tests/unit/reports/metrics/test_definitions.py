"""Every metric is one row, and a row is all that it takes."""

from __future__ import annotations

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
        top5=correct,
        confidences=np.array([0.9, 0.8, 0.7, 0.6]),
        per_query_incremental=correct.astype(float),
        fingerprint="f",
        episode=None if episode is None else np.array(episode),
    )


def test_rows_are_the_metrics_of_the_documentation() -> None:
    assert METRICS.names()[:2] == ["accuracy", "mean_class_recall"]
    assert all(metric.of_counts is not None or metric.per_query is not None for metric in METRICS)
    assert {metric.name for metric in METRICS if metric.low < 0} == {"forgetting", "backward_transfer"}


@pytest.mark.parametrize("name", ["seeds", "n_queries", "accuracy_low", "state_bytes", "two words", "method"])
def test_a_name_that_is_another_column_is_refused(name: str) -> None:
    with pytest.raises(BenchError, match=f"a metric cannot be named '{name}'"):
        Metric(name=name, per_query=lambda p: p.confidences)


def test_a_metric_without_a_value_is_refused() -> None:
    with pytest.raises(BenchError, match="says neither"):
        Metric(name="nothing", head="nothing")


def test_values_of_queries_become_those_of_episodes() -> None:
    accuracy = METRICS["accuracy"]
    assert accuracy.interval_values(predictions()) == pytest.approx([1, 0, 1, 1])
    assert accuracy.interval_values(predictions([0, 0, 1, 1])) == pytest.approx([0.5, 1])
    recall = METRICS["mean_class_recall"]
    assert recall.interval_values(predictions([0, 0, 1, 1])) == pytest.approx([0.5, 1])


def test_values_that_are_not_known_give_no_interval() -> None:
    assert METRICS["top5_accuracy"].interval_values(predictions()) is None
    assert METRICS["forgetting"].interval_values(predictions()) is None
