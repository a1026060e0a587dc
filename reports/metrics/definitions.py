"""Every metric of a report, one row each: its name, how it is computed, and how it is shown.

A row is all that a metric needs: it puts the metric into the scores of cells, the means and intervals over seeds, the
tables on the page, in Markdown and LaTeX, ``summary.csv``, the terminal's table and the files of experiment trackers.
A metric of a plug-in is a function of a cell's predictions under :func:`metric`::

    @metric("margin", head="margin", meaning="Margin: confidence of right answers less that of wrong ones.")
    def margin(predictions: PairedPredictions) -> Floats:
        return predictions.confidences * (2 * predictions.correct - 1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.reports.metrics import incremental, per_query
from bench.reports.metrics.cost import COSTS
from bench.reports.metrics.count_stacks import CountStack
from bench.reports.records.keys import CELL
from bench.reports.records.paired_predictions import PairedPredictions
from bench.reports.utils.registry import Registry
from bench.utils.errors import BenchError

Floats = NDArray[np.float64]

FACTS = ["sessions", "episodes", "n_classes", "n_queries", "fidelity", "selection", "encoder", "branches"]
"""What a cell is, beside its scores and its cost."""

_TAKEN = {*CELL, *FACTS, *COSTS, "seeds", "cell", "rank", "number"}
"""Columns of the summary that are no metrics."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of a cell.

    Attributes
    ----------
    name : str
        Its column in ``summary.csv``; a Python identifier.
    head : str
        Its column's head in tables, without the unit; a metric without a head is in the CSV alone.
    meaning : str
        What the head stands for, a sentence for the caption; empty where the head says it.
    caveat : str
        What a reader has to know wherever the metric is shown, at the end of the caption.
    of_counts : callable, optional
        Gives the metric of each cell [b] from the counts of b cells; one of ``of_counts`` and ``per_query`` is there.
        Cells of few-shot episodes have no counts in this form; their accuracy and recall are means over episodes.
    over_sessions : bool
        Whether it takes more than one session; null elsewhere.
    per_query : callable, optional
        Gives values of a cell's queries [q] whose mean is the metric: they give its interval over seeds and queries,
        and without ``of_counts`` its value. Without ``per_query`` the interval is over seeds alone.
    per_episode : callable, optional
        Gives values of few-shot episodes [e], where these are not the means of ``per_query`` in each episode.
    low, high : float
        The range of the metric; bounds of intervals are cut there.
    percent : bool
        Whether it is shown in per cent; else with three decimals.
    on_terminal : bool
        Whether the terminal's table, which is narrow, shows it.
    """

    name: str
    head: str = ""
    meaning: str = ""
    caveat: str = ""
    of_counts: Callable[[CountStack], Floats] | None = None
    over_sessions: bool = False
    per_query: Callable[[PairedPredictions], Floats] | None = None
    per_episode: Callable[[PairedPredictions], Floats] | None = None
    low: float = 0.0
    high: float = 1.0
    percent: bool = True
    on_terminal: bool = True

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in _TAKEN or self.name.endswith(("_low", "_high")):
            raise BenchError(
                f"a metric cannot be named {self.name!r}: its name is a column of the summary, so it must be a Python "
                "identifier that is no other column's; rename it"
            )
        if self.of_counts is None and self.per_query is None:
            raise BenchError(f"metric {self.name!r} says neither `of_counts` nor `per_query`, so it has no value")

    @property
    def column_head(self) -> str:
        """Its column's head with the unit."""
        return f"{self.head} %" if self.percent else self.head

    def from_counts(self, counts: CountStack) -> Floats:
        """Return the metric of each cell [b]; NaN where it takes more sessions or predictions."""
        if self.of_counts is None or (self.over_sessions and counts.n_sessions == 1):
            return np.full(len(counts.cells), np.nan)
        return _checked(self, self.of_counts, counts, len(counts.cells))

    def from_predictions(self, predictions: PairedPredictions) -> float:
        """Return the metric of a cell that has predictions: the mean over its queries, or its episodes."""
        assert self.per_query is not None
        return float(self._values(predictions).mean())

    def interval_values(self, predictions: PairedPredictions) -> Floats | None:
        """Return the values that its interval is over: of queries [q], or of episodes [e]; None if there are none.

        Values with NaN in them (top-5 accuracy of five classes) give no interval.
        """
        if self.per_query is None:
            return None
        values = self._values(predictions)
        if predictions.episode is not None and self.per_episode is None:
            values = predictions.by_episode(values)
        return None if np.isnan(values).any() else values

    def _values(self, predictions: PairedPredictions) -> Floats:
        assert self.per_query is not None
        if predictions.episode is not None and self.per_episode is not None:
            return _checked(self, self.per_episode, predictions, int(predictions.episode[-1]) + 1)
        return _checked(self, self.per_query, predictions, len(predictions.labels))


def _checked(metric: Metric, compute: Callable[..., Floats], of: object, n: int) -> Floats:
    """Return n values; a plug-in's failure, or values of another shape, is one line."""
    plugin = METRICS.plugin_of(metric.name)
    if plugin is None:
        return np.asarray(compute(of), dtype=np.float64)
    try:
        values = np.asarray(compute(of), dtype=np.float64)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BenchError(
            f"metric {metric.name!r} of plug-in {plugin!r} failed ({reason}); mend or uninstall it"
        ) from error
    if values.shape != (n,):
        raise BenchError(
            f"metric {metric.name!r} of plug-in {plugin!r} gives values of shape {list(values.shape)} where there are "
            f"{n}; mend or uninstall it"
        )
    return values


def metric(
    name: str,
    *,
    head: str,
    meaning: str = "",
    caveat: str = "",
    low: float = 0.0,
    high: float = 1.0,
    percent: bool = True,
    on_terminal: bool = True,
) -> Callable[[Callable[[PairedPredictions], Floats]], Callable[[PairedPredictions], Floats]]:
    """Register a function from predictions to values of queries [q] whose mean is a metric; see :class:`Metric`."""

    def register(compute: Callable[[PairedPredictions], Floats]) -> Callable[[PairedPredictions], Floats]:
        METRICS.add(
            name,
            Metric(
                name=name,
                head=head,
                meaning=meaning,
                caveat=caveat,
                per_query=compute,
                low=low,
                high=high,
                percent=percent,
                on_terminal=on_terminal,
            ),
        )
        return compute

    return register


CALIBRATION = (
    "Calibration error compares accuracy with the softmax of a method's scores as the method gives them; no "
    "temperature is fitted. Cosines have a softmax that is nearly flat, votes one that is nearly certain: a large "
    "error of such a method says that its scores are no log-probabilities, not that its answers are worse."
)

_BUILT_IN = (
    Metric(
        name="accuracy",
        head="accuracy",
        of_counts=lambda counts: counts.accuracy[:, -1],
        per_query=lambda predictions: predictions.correct.astype(np.float64),
    ),
    Metric(
        name="mean_class_recall",
        head="recall",
        meaning="Recall: mean over classes of the share of their queries that is answered rightly.",
        of_counts=lambda counts: counts.recall[:, -1],
        per_query=per_query.recall,
        per_episode=per_query.recall_by_episode,
    ),
    Metric(name="top5_accuracy", head="top-5", per_query=per_query.top5, on_terminal=False),
    Metric(
        name="macro_f1",
        head="macro-F1",
        per_query=lambda predictions: per_query.f1_parts(predictions.labels, predictions.predictions),
        per_episode=per_query.f1_by_episode,
        on_terminal=False,
    ),
    Metric(
        name="calibration_error",
        head="calibration error",
        caveat=CALIBRATION,
        per_query=lambda predictions: per_query.calibration_parts(predictions.correct, predictions.confidences),
        on_terminal=False,
    ),
    Metric(
        name="average_incremental_accuracy",
        head="avg inc",
        meaning="Avg inc: mean over sessions of the accuracy on all classes so far.",
        of_counts=lambda counts: incremental.average_incremental(counts.accuracy),
        over_sessions=True,
        per_query=lambda predictions: predictions.per_query_incremental,
    ),
    Metric(name="old_accuracy", of_counts=lambda counts: counts.old_accuracy[:, -1], over_sessions=True),
    Metric(name="new_accuracy", of_counts=lambda counts: counts.new_accuracy[:, -1], over_sessions=True),
    Metric(
        name="forgetting",
        head="forgetting",
        meaning="Forgetting: best earlier accuracy of a class minus its last, mean over classes.",
        of_counts=lambda counts: incremental.mean_over_classes(counts.forgetting),
        over_sessions=True,
        low=-1.0,
    ),
    Metric(
        name="backward_transfer",
        head="bwd transfer",
        meaning="Bwd transfer: last accuracy of a class minus that at arrival, mean over classes.",
        of_counts=lambda counts: incremental.backward_transfer(counts.matrix, counts.arrival),
        over_sessions=True,
        low=-1.0,
    ),
    Metric(
        name="learning_accuracy",
        of_counts=lambda counts: incremental.learning_accuracy(counts.matrix, counts.arrival),
        over_sessions=True,
    ),
)

METRICS: Registry[Metric] = Registry(
    "metric", "retrieval_bench.metrics", built_in={metric.name: metric for metric in _BUILT_IN}
)
"""All metrics, those of plug-ins last."""
