"""How often each method is above each accuracy, over data sets and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, legend, lines, plot_styles, render
from bench.reports.statistics.across_datasets import AcrossDatasets
from bench.reports.statistics.ranks import performance_profile
from bench.reports.utils.text import slug


@figure("profile", section="datasets", each=lambda analysis: analysis.across_datasets[0])
def performance_profiles(analysis: Analysis, result: AcrossDatasets) -> Iterator[Figure]:
    """Yield the performance profile of a scenario with several data sets."""
    yield profile(result, analysis.methods)


def profile(result: AcrossDatasets, methods: Sequence[str]) -> Figure:
    """Return the profile of one scenario; ``methods`` are all methods of the report, so that each keeps its colour."""
    thresholds = np.linspace(0, 1, 201)
    parts = []
    for method in result.methods:
        runs = [float(run.correct.mean()) for group in result.groups for run in group.predictions[method].values()]
        above = performance_profile(runs, thresholds)
        parts.append(pd.DataFrame({"method": method, "threshold": thresholds, "share": above}))
    data = pd.concat(parts, ignore_index=True)
    with canvas() as (drawing, (axes,)):
        drawn = data.assign(threshold=100 * data["threshold"], share=100 * data["share"])
        lines(axes, drawn, "threshold", "share", plot_styles(methods), markers=False)
        axes.set_xlabel("accuracy t (%)")
        axes.set_ylabel("runs with accuracy above t (%)")
        axes.set_title(f"{result.scenario}: performance profile", loc="left")
        legend(drawing, axes)
    return render(
        drawing,
        name=slug(result.scenario, "profile"),
        title=f"Performance profile of {result.scenario}",
        caption="Share of runs (data set and seed) whose accuracy is above each threshold; higher is better.",
        data=data,
    )
