"""Accuracy against every number that a scenario varies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, bands, canvas, in_percent, legend, lines, plot_styles, render, title
from bench.reports.utils.text import place, slug

_AXIS = {
    "rate": "rate (share that is spoilt)",
    "shots": "shots (labelled images a class)",
    "items": "items of memory a class and modality",
}
"""What the numbers of well-known sweeps are."""


@figure("sweep", section="sweeps")
def sweep_curves(analysis: Analysis) -> Iterator[Figure]:
    """Yield accuracy against every swept number."""
    yield from curves(analysis.means, analysis.methods)


def curves(means: pd.DataFrame, methods: Sequence[str]) -> Iterator[Figure]:
    """Yield accuracy against every number that a scenario varies while all else stays the same."""
    styles = plot_styles(methods)
    parsed = means.assign(settings=[json.loads(c) for c in means["condition"]])
    for (scenario, dataset), part in parsed.groupby(["scenario", "dataset"], sort=True):
        for key in sorted({key for settings in part["settings"] for key in settings}):
            values = [s.get(key) for s in part["settings"]]
            words = sorted({f"{key} {v}" for v in values if isinstance(v, str)})
            rows = part.assign(value=[float(v) if _is_number(v) else np.nan for v in values]).dropna(subset="value")
            rows = rows.assign(others=[json.dumps({k: v for k, v in s.items() if k != key}) for s in rows["settings"]])
            for number, (others, line) in enumerate(rows.groupby("others", sort=True)):
                if line["value"].nunique() < 2:
                    continue
                data = line[["method", "value", "accuracy", "accuracy_low", "accuracy_high", "seeds"]]
                data = data.sort_values(["method", "value"]).rename(columns={"value": key})
                with canvas() as (drawing, (axes,)):
                    drawn = in_percent(data, "accuracy")
                    lines(axes, drawn, key, "accuracy", styles)
                    bands(axes, drawn, key, "accuracy", styles, edges=False)
                    swept = np.sort(data[key].unique())
                    if swept[0] > 0 and swept[-1] / swept[0] >= 16:
                        axes.set_xscale("log", base=2)
                    axes.set_xticks(swept, [f"{v:g}" for v in swept])
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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
