"""Accuracy against every number that a scenario varies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, bands, canvas, in_percent, legend, lines, plot_styles, render, title
from bench.reports.statistics.swept import swept
from bench.reports.utils.text import place, slug

_AXIS = {
    "rate": "rate (share that is spoilt)",
    "shots": "shots (labelled images a class)",
    "items": "items of memory a class and modality",
}
"""What the numbers of well-known sweeps are."""


def _by_dataset(analysis: Analysis) -> list[pd.DataFrame]:
    """Return the means of each scenario and data set."""
    return [part for _, part in analysis.means.groupby(["scenario", "dataset"], sort=True)]


@figure("sweep", section="sweeps", each=_by_dataset)
def sweep_curves(analysis: Analysis, means: pd.DataFrame) -> Iterator[Figure]:
    """Yield accuracy against every swept number."""
    yield from curves(means, analysis.methods)


def curves(means: pd.DataFrame, methods: Sequence[str]) -> Iterator[Figure]:
    """Yield accuracy against every number that a scenario varies while all else stays the same."""
    styles = plot_styles(methods)
    for (scenario, dataset), part in means.groupby(["scenario", "dataset"], sort=True):
        for key, number, others, words, data in swept(part):
            with canvas() as (drawing, (axes,)):
                drawn = in_percent(data, "accuracy")
                lines(axes, drawn, key, "accuracy", styles)
                bands(axes, drawn, key, "accuracy", styles, edges=False)
                steps = np.sort(data[key].unique())
                if steps[0] > 0 and steps[-1] / steps[0] >= 16:
                    axes.set_xscale("log", base=2)
                axes.set_xticks(steps, [f"{v:g}" for v in steps])
                axes.minorticks_off()
                axes.set_xlabel(_AXIS.get(key, key.replace("_", " ")))
                axes.set_ylabel("top-1 accuracy (%)")
                axes.set_title(title(dataset, others), loc="left")
                legend(drawing, axes)
            yield render(
                drawing,
                name=slug(str(scenario), str(dataset), key, str(number) if number else "", "sweep"),
                title=f"Accuracy against {key} on {dataset}",
                caption=f"{place(scenario, dataset, others)}. Bands are 95 % intervals."
                + (f" Not drawn, since it is no number: {', '.join(words)}." if words else ""),
                data=data,
            )
