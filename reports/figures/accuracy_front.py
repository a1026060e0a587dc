"""The figure of the first screen: accuracy against milliseconds, with the front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.reports.analysis import Analysis
from bench.reports.choosing.budgets import Budget, Choice
from bench.reports.choosing.costs import costs
from bench.reports.choosing.front import front
from bench.reports.figures.cost_tradeoffs import scatter
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, legend, plot_styles, render, title
from bench.reports.records.keys import GROUP
from bench.reports.utils.text import file_name, place


@figure("front", section="answer")
def fronts(analysis: Analysis) -> Iterator[Figure]:
    """Yield one figure: of the one group there is, or of means over all groups."""
    known = costs(analysis)
    frame = known.frame.dropna(subset="ms")
    groups = frame[GROUP].drop_duplicates()
    several = len(groups) > 1
    if several:
        whole = frame.groupby("method").filter(lambda part: len(part) == len(groups))
        means = whole.groupby("method")
        # Milliseconds differ by factors between data sets: their geometric mean is the one that follows ratios.
        frame = pd.DataFrame(
            {"accuracy": means["accuracy"].mean(), "ms": np.exp(np.log(whole["ms"]).groupby(whole["method"]).mean())}
        ).reset_index()
        frame = frame.assign(accuracy_low=np.nan, accuracy_high=np.nan)
    if len(frame) < 2:
        return
    scenario, dataset, condition = map(str, groups.iloc[0])
    if several:
        scenario, dataset, condition = "", f"mean over {len(groups)} data sets and conditions", "{}"
    yield _drawn(
        frame,
        analysis.methods,
        title(dataset, condition),
        "front" if several else file_name(scenario, dataset, condition, "front"),
        known.ms_means,
        dataset.capitalize() if several else place(scenario, dataset, condition),
    )


def choice_figure(choice: Choice, methods: Sequence[str], budget: Budget, ms_means: str) -> Figure | None:
    """Return the figure of one choice, with the limit on milliseconds; None without two methods that were timed."""
    frame = pd.DataFrame(
        {
            "method": o.method,
            "accuracy": o.accuracy,
            "accuracy_low": o.low,
            "accuracy_high": o.high,
            "ms": o.costs["ms"],
        }
        for o in choice.options
    ).dropna(subset="ms")
    key = (choice.scenario, choice.dataset, choice.condition)
    if len(frame) < 2:
        return None
    return _drawn(frame, methods, title(*key[1:]), file_name(*key, "choice"), ms_means, place(*key), limit=budget.ms)


def _drawn(
    frame: pd.DataFrame,
    methods: Sequence[str],
    above: str,
    name: str,
    ms_means: str,
    where: str,
    *,
    limit: float | None = None,
) -> Figure:
    data = frame[["method", "accuracy", "accuracy_low", "accuracy_high", "ms"]].sort_values("method")
    data["on_ms_front"] = front(data["ms"].to_numpy(), data["accuracy"].to_numpy())
    with canvas(7.2, 3.8) as (drawing, (axes,)):
        scatter(axes, data, "ms", plot_styles(methods))
        axes.set_xlabel(ms_means)
        axes.set_ylabel("top-1 accuracy (%)")
        axes.set_title(above, loc="left")
        if limit:
            _limit(axes, limit)
        legend(drawing, axes)
    return render(
        drawing,
        name=name,
        title="Accuracy against milliseconds",
        caption=f"{where}. The stepped line is the front: no method is both quicker and better. "
        + ("Bars are 95 % intervals. " if data["accuracy_low"].notna().any() else "")
        + ("The dashed line is the budget. " if limit else "")
        + "The encoder is left out.",
        data=data,
        wide=True,
    )


def _limit(axes: Axes, limit: float) -> None:
    low, high = axes.get_xlim()
    axes.axvline(limit, color="#777777", linestyle="--", linewidth=1, zorder=0)
    axes.set_xlim(min(low, limit / 1.2), max(high, limit * 1.2))
