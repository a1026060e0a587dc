"""Whether confidences are what they say, and what declining the unsure answers gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, PlotStyle, canvas, legend, lines, plot_styles, render, title
from bench.reports.metrics.selective import reliability, risk_coverage
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.utils.text import file_name, place

_POINTS = np.linspace(0.05, 1, 20)
"""Shares answered at which the curve of risk is drawn."""
_FEW = 10
"""Queries of a bin, over seeds, from which its accuracy is drawn."""


@figure("reliability", section="trust", each=lambda analysis: analysis.detailed_groups, early=True)
def reliability_curves(analysis: Analysis, group: Group) -> Iterator[Figure]:
    """Yield accuracy against confidence, and risk against coverage, of the calibrated methods of a group."""
    styles = plot_styles(analysis.methods)
    runs = {
        method: list(seeds.values())
        for method, seeds in group.predictions.items()
        if seeds and all(run.calibrated for run in seeds.values())
    }
    if runs:
        yield _reliability(group, runs, styles)
        yield _risk(group, runs, styles)


def _reliability(group: Group, runs: dict[str, list[PairedPredictions]], styles: dict[str, PlotStyle]) -> Figure:
    parts = []
    for method, seeds in runs.items():
        correct = np.concatenate([run.correct for run in seeds])
        confidence, accuracy, queries = reliability(correct, np.concatenate([run.confidences for run in seeds]))
        parts.append(
            pd.DataFrame({"method": method, "confidence": confidence, "accuracy": accuracy, "queries": queries})
        )
    data = pd.concat(parts, ignore_index=True)
    data = data[data["queries"] > 0].reset_index(drop=True)
    with canvas(5.2, 4.2) as (drawing, (axes,)):
        shown = data[data["queries"] >= _FEW]
        drawn = shown.assign(confidence=100 * shown["confidence"], accuracy=100 * shown["accuracy"])
        lines(axes, drawn, "confidence", "accuracy", styles)
        axes.plot([0, 100], [0, 100], color="#777777", linestyle="--", linewidth=1, zorder=0)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("confidence (%)")
        axes.set_ylabel("accuracy (%)")
        axes.set_title(title(group.dataset, group.condition, 5.2), loc="left")
        legend(drawing, axes)
    return render(
        drawing,
        name=file_name(*group.key, "reliability"),
        title="Whether confidences are what they say",
        caption=f"{place(*group.key)}. Accuracy of the answers in each of 15 bins of confidence, all seeds together; "
        f"bins of fewer than {_FEW} answers are in the numbers alone. Below the line a method is surer than it should "
        "be.",
        data=data,
    )


def _risk(group: Group, runs: dict[str, list[PairedPredictions]], styles: dict[str, PlotStyle]) -> Figure:
    parts = []
    for method, seeds in runs.items():
        curves = []
        for run in seeds:
            risk = risk_coverage(run.correct, run.confidences)
            curves.append(risk[np.maximum(np.ceil(_POINTS * len(risk)).astype(np.int64) - 1, 0)])
        parts.append(pd.DataFrame({"method": method, "answered": _POINTS, "wrong": np.mean(curves, axis=0)}))
    data = pd.concat(parts, ignore_index=True)
    with canvas(5.2, 4.2) as (drawing, (axes,)):
        drawn = data.assign(answered=100 * data["answered"], wrong=100 * data["wrong"])
        lines(axes, drawn, "answered", "wrong", styles)
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("queries answered, the surest first (%)")
        axes.set_ylabel("wrong answers among them (%)")
        axes.set_title(title(group.dataset, group.condition, 5.2), loc="left")
        legend(drawing, axes)
    return render(
        drawing,
        name=file_name(*group.key, "risk-coverage"),
        title="What declining unsure answers gives",
        caption=f"{place(*group.key)}. Share of wrong answers among those that each method is surest of, mean over "
        "seeds. A curve that is low on the left tells right answers from wrong ones.",
        data=data,
    )
