"""Every metric of a report, one row each: its name, how it is computed, and how it is shown.

A row is all that a metric needs: it puts the metric into the scores of cells, the means and intervals over seeds, the
tables on the page, in Markdown and LaTeX, ``summary.csv``, the terminal's table and the files of experiment trackers.
A metric of a plug-in is a function of a cell's predictions under :func:`metric`::

    @metric("margin", head="margin", meaning="Margin: confidence of right answers less that of wrong ones.")
    def margin(predictions: PairedPredictions) -> Floats:
        return predictions.confidences * (2 * predictions.correct - 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.reports.forms.intervals import Kind
from bench.reports.metrics import incremental, per_query
from bench.reports.metrics.calibration import calibration_bounds, calibration_error
from bench.reports.metrics.cost import COSTS
from bench.reports.metrics.count_stacks import CountStack
from bench.reports.metrics.influence import Influence, of_answers, of_values
from bench.reports.records.keys import CELL
from bench.reports.records.paired_predictions import PairedPredictions
from bench.reports.utils.registry import Registry
from bench.utils.errors import BenchError

Floats = NDArray[np.float64]

FACTS = ["sessions", "episodes", "n_classes", "n_queries", "fidelity", "selection", "encoder", "branches"]
"""What a cell is, beside its scores and its cost."""

_TAKEN = {*CELL, *FACTS, *COSTS, "seeds", "over", "cell", "rank", "number"}
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
    influence : callable, optional
        Gives the influence of a cell's queries, or None where it has none: from it come the interval over seeds and
        queries, tests, and without ``of_counts`` the value. Without ``influence`` and ``per_query`` the interval is
        over seeds alone.
    per_query : callable, optional
        Gives values of a cell's queries [q] whose mean is the metric, in place of ``influence``.
    per_episode : callable, optional
        Gives values of few-shot episodes [e], whose mean is the metric there; without it those of ``per_query``.
    bounds : callable, optional
        Gives the interval of the mean over seeds from the predictions of each, and whether they share their queries,
        in place of the one by influence.
    kind : str
        Whether the metric is a ``share`` of right answers, a ``difference`` of two, or another ``mean``.
    lower_is_better : bool
    biased : bool
        Whether its mean is off by more than its spread says, so that it has no interval and marks no method.
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
    influence: Callable[[PairedPredictions], Influence | None] | None = None
    per_query: Callable[[PairedPredictions], Floats] | None = None
    per_episode: Callable[[PairedPredictions], Floats] | None = None
    bounds: Callable[[Sequence[PairedPredictions], bool], tuple[float, float]] | None = None
    kind: Kind = "share"
    lower_is_better: bool = False
    biased: bool = False
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
        if self.of_counts is None and self.per_query is None and self.influence is None:
            raise BenchError(
                f"metric {self.name!r} says none of `of_counts`, `influence` and `per_query`, so it has no value"
            )

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
        """Return the metric of a cell that has predictions; NaN where it has none.

        One with bounds of its own is the same function of all queries, whatever episode they are of.
        """
        found = self.influence_on(predictions)
        if found is None and predictions.episode is not None and self.bounds and self.influence:
            found = self.influence(predictions)
        return float("nan") if found is None else found.value

    def influence_on(self, predictions: PairedPredictions) -> Influence | None:
        """Return the influence of queries, of their clusters, or of few-shot episodes; None where there is none."""
        if predictions.episode is not None:
            values = self._of_episodes(predictions)
            if values is None or np.isnan(values).any():
                return None
            return of_values(values) if self.kind == "mean" else of_answers(values)
        if self.influence is not None:
            found = self.influence(predictions)
        elif self.per_query is not None:
            values = _checked(self, self.per_query, predictions, len(predictions.labels))
            found = None if np.isnan(values).any() else of_values(values)
        else:
            return None
        if found is None or predictions.clusters is None:
            return found
        return found.clustered(predictions.clusters, strata=predictions.classes_drawn)

    def _of_episodes(self, predictions: PairedPredictions) -> Floats | None:
        """Return the values of few-shot episodes [e]; None where the metric has none."""
        assert predictions.episode is not None
        if self.per_episode is not None:
            return _checked(self, self.per_episode, predictions, int(predictions.episode[-1]) + 1)
        if self.per_query is None:
            return None
        return predictions.by_episode(_checked(self, self.per_query, predictions, len(predictions.labels)))


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
                kind="mean",
                low=low,
                high=high,
                percent=percent,
                on_terminal=on_terminal,
            ),
        )
        return compute

    return register


CALIBRATION = (
    "Calibration error: accuracy against confidence in 15 bins, without the part that chance adds; confidences are the "
    "softmax of scores over a temperature that was fitted on held-out labelled images, and there is none where nothing "
    "could be held out."
)

FORGETTING = (
    "Forgetting: accuracy of a class when it arrived minus its last, mean over classes. Max forgetting: its best "
    "earlier "
    "accuracy minus its last (Chaudhry et al. 2018); the best of noisy numbers is too high, so it is above 0 where "
    "nothing is forgotten, and has no interval."
)


def _calibration(predictions: PairedPredictions) -> Influence | None:
    """Return the calibration error, which is the same function of all queries, whatever episode they are of."""
    if not predictions.calibrated:
        return None
    value = calibration_error(predictions.correct, predictions.confidences)
    nothing = np.zeros(len(predictions.correct))
    return Influence(value, nothing, None, nothing + 1 / len(nothing))


def _calibration_bounds(runs: Sequence[PairedPredictions], shared: bool) -> tuple[float, float]:
    return calibration_bounds([(run.correct, run.confidences) for run in runs], shared=shared)


_BUILT_IN = (
    Metric(
        name="accuracy",
        head="accuracy",
        of_counts=lambda counts: counts.accuracy[:, -1],
        influence=per_query.accuracy,
        per_episode=lambda predictions: predictions.by_episode(predictions.correct),
    ),
    Metric(
        name="mean_class_recall",
        head="recall",
        meaning="Recall: mean over classes of the share of their queries that is answered rightly.",
        of_counts=lambda counts: counts.recall[:, -1],
        influence=per_query.recall,
        per_episode=per_query.recall_by_episode,
    ),
    Metric(
        name="top5_accuracy",
        head="top-5",
        influence=per_query.top5,
        per_episode=per_query.top5_by_episode,
        on_terminal=False,
    ),
    Metric(
        name="macro_f1",
        head="macro-F1",
        influence=per_query.f1,
        per_episode=per_query.f1_by_episode,
        on_terminal=False,
    ),
    Metric(
        name="calibration_error",
        head="calibration error",
        caveat=CALIBRATION,
        influence=_calibration,
        bounds=_calibration_bounds,
        kind="mean",
        lower_is_better=True,
        on_terminal=False,
    ),
    Metric(name="set_coverage", influence=per_query.in_set, per_episode=per_query.in_set_by_episode),
    Metric(
        name="set_size",
        influence=per_query.set_size,
        per_episode=per_query.set_size_by_episode,
        kind="mean",
        high=float("inf"),
        percent=False,
    ),
    Metric(
        name="average_incremental_accuracy",
        head="avg inc",
        meaning="Avg inc: mean over sessions of the accuracy on all classes so far.",
        of_counts=lambda counts: incremental.average_incremental(counts.accuracy),
        over_sessions=True,
        influence=per_query.average_incremental,
    ),
    Metric(name="old_accuracy", of_counts=lambda counts: counts.old_accuracy[:, -1], over_sessions=True),
    Metric(name="new_accuracy", of_counts=lambda counts: counts.new_accuracy[:, -1], over_sessions=True),
    Metric(
        name="forgetting",
        head="forgetting",
        meaning=FORGETTING,
        of_counts=lambda counts: -incremental.backward_transfer(counts.matrix, counts.arrival),
        over_sessions=True,
        influence=per_query.forgetting,
        kind="difference",
        lower_is_better=True,
        low=-1.0,
    ),
    Metric(
        name="max_forgetting",
        head="max forgetting",
        of_counts=lambda counts: incremental.mean_over_classes(counts.forgetting),
        over_sessions=True,
        biased=True,
        lower_is_better=True,
        on_terminal=False,
        low=-1.0,
    ),
    Metric(
        name="backward_transfer",
        of_counts=lambda counts: incremental.backward_transfer(counts.matrix, counts.arrival),
        over_sessions=True,
        influence=per_query.backward_transfer,
        kind="difference",
        low=-1.0,
    ),
    Metric(
        name="learning_accuracy",
        of_counts=lambda counts: incremental.learning_accuracy(counts.matrix, counts.arrival),
        over_sessions=True,
        influence=per_query.learning_accuracy,
    ),
)

METRICS: Registry[Metric] = Registry(
    "metric", "retrieval_bench.metrics", built_in={metric.name: metric for metric in _BUILT_IN}
)
"""All metrics, those of plug-ins last."""
