"""How far an answer can be trusted: what declining the unsure ones gives, and sets of classes with a promise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.reports.analysis import Analysis
from bench.reports.metrics.selective import area_under_risk_coverage, risk_coverage
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import PairedPredictions
from bench.reports.sections import certified
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, share, without_constants

_COVERAGES = (1.0, 0.8, 0.5)
_POOR = 0.8
"""A class whose queries' sets hold the right class more rarely is counted."""


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield a table of abstention, one of sets of classes where any method has them, and certificates if kept."""
    yield from filter(None, (_abstention(analysis), _sets(analysis)))
    yield from certified.section(analysis)


def _abstention(analysis: Analysis) -> Table | None:
    rows = []
    for group in analysis.fair_groups:
        for method, seeds in sorted(group.predictions.items()):
            runs = [run for run in seeds.values() if run.calibrated]
            if len(runs) < len(seeds):
                continue
            risks = [risk_coverage(run.correct, run.confidences) for run in runs]
            kept = [float(np.mean([1 - risk[_last(part, len(risk))] for risk in risks])) for part in _COVERAGES]
            area = float(np.mean([area_under_risk_coverage(run.correct, run.confidences) for run in runs]))
            named = dict(zip([*GROUP, "method"], [*group.key, method], strict=True))
            cells = [Cell(share(value, math.nan, math.nan), value) for value in (*kept, area)]
            rows.append((*names_of(named), Cell(method, method), *cells))
    if not rows:
        return None
    heads = [f"{100 * part:.0f} % answered" for part in _COVERAGES]
    caption = (
        "Accuracy in per cent of the answers that a method is surest of, if it may decline the others, mean over "
        "seeds; AURC is the mean share of wrong answers over all shares answered (less is better). Confidences are "
        "those of the temperature fitted on held-out images; methods without one are left out."
    )
    head = ("scenario", "data set", "condition", "method", *heads, "AURC %")
    return without_constants(Table("abstention", "Declining what is unsure", caption, head, tuple(rows)))


def _last(part: float, n: int) -> int:
    return max(0, math.ceil(part * n) - 1)


def _sets(analysis: Analysis) -> Table | None:
    means = analysis.means
    rows = []
    for group in analysis.fair_groups:
        for method, seeds in sorted(group.predictions.items()):
            runs = [run for run in seeds.values() if run.in_set is not None]
            if not runs or len(runs) < len(seeds):
                continue
            named = dict(zip([*GROUP, "method"], [*group.key, method], strict=True))
            own = means[(means[list(named)] == list(named.values())).all(axis=1)].iloc[0]
            covered = [float(own[f"set_coverage{side}"]) for side in ("", "_low", "_high")]
            sizes = [float(own[f"set_size{side}"]) for side in ("", "_low", "_high")]
            empty = float(np.mean([(run.set_sizes == 0).mean() for run in runs]))
            poor = float(np.mean([_poor(run) for run in runs]))
            rows.append(
                (
                    *names_of(named),
                    Cell(method, method),
                    Cell(share(*covered), covered[0]),
                    Cell(_size(*sizes), sizes[0]),
                    Cell(share(empty, math.nan, math.nan), empty),
                    Cell(share(poor, math.nan, math.nan), poor),
                )
            )
    if not rows:
        return None
    caption = (
        "Split-conformal sets of classes that are meant to hold the right one for 90 % of queries (Sadinle, Lei and "
        "Wasserman 2019), by a threshold from held-out images. Measured: for how many queries they do, how many "
        "classes they have, how many are empty, and how many classes are covered for fewer than 80 % of their own "
        "queries: the promise is for the average, not for each class. It was made by a state without the held-out "
        "images, so sets of one that learnt from them too can cover more; there are none for classes that nothing "
        "was held out of."
    )
    head = ("scenario", "data set", "condition", "method", "covered %", "classes in a set", "empty %", "poor classes %")
    return without_constants(Table("sets", "Sets of classes", caption, head, tuple(rows)))


def _poor(run: PairedPredictions) -> float:
    assert run.in_set is not None
    total: NDArray[np.int64] = np.bincount(run.labels)
    there = total > 0
    return float((np.bincount(run.labels, run.in_set)[there] / total[there] < _POOR).mean())


def _size(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
