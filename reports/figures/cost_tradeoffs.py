"""Accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from bench.reports.analysis import Analysis
from bench.reports.choosing.front import front
from bench.reports.figures.registry import figure
from bench.reports.figures.style import (
    Figure,
    PlotStyle,
    canvas,
    in_percent,
    legend_below,
    plot_styles,
    remove_legend,
    render,
    seaborn,
    title,
)
from bench.reports.metrics.cost import SECONDS
from bench.reports.records.keys import GROUP
from bench.reports.utils.text import file_name, place

_COSTS = {
    "answer_flops_per_query": "FLOPs a query, retrieve + score",
    "seconds": "seconds, train + build + retrieve + score",
    "state_bytes": "bytes of state",
}
"""The costs that accuracy is drawn against, a panel each."""
_TIMED = {
    "answer_1_ms": "milliseconds an answer, one at a time",
    "fit_seconds": "seconds, train + build",
    "state_bytes": "bytes of state",
}
"""Those where answers were timed: answering apart from training."""


def _by_group(analysis: Analysis) -> list[pd.DataFrame]:
    """Return the means of each group that gets figures of its own."""
    return [part for _, part in analysis.means.merge(analysis.detailed[0]).groupby(GROUP, sort=True)]


@figure("cost", section="costs", each=_by_group)
def cost_tradeoffs(analysis: Analysis, means: pd.DataFrame) -> Iterator[Figure]:
    """Yield accuracy against FLOPs, seconds and bytes."""
    yield from tradeoffs(means, analysis.methods)


def tradeoffs(means: pd.DataFrame, methods: Sequence[str]) -> Iterator[Figure]:
    """Yield accuracy against cost, each panel with the front of methods that nothing beats in both.

    Costs are milliseconds an answer where they were timed, else FLOPs of an answer; seconds; and bytes.
    """
    styles = plot_styles(methods)
    fit = means[["train_seconds", "build_seconds"]].sum(axis=1, skipna=False)
    table = means.assign(seconds=means[SECONDS].sum(axis=1, skipna=False), fit_seconds=fit)
    for (scenario, dataset, condition), part in table.groupby(GROUP, sort=True):
        if len(part) < 2:
            continue
        wanted = _TIMED if part["answer_1_ms"].notna().all() else _COSTS
        # The axis of costs is logarithmic, so that a cost of 0 has no place on it.
        drawn = part[list(wanted)].gt(0).any()
        costs = {cost: label for cost, label in wanted.items() if drawn[cost]}
        if not costs:
            continue
        data = part[["method", "accuracy", "accuracy_low", "accuracy_high", *costs]].sort_values("method")
        with canvas(1 + 3.5 * len(costs), 3.8, ncols=len(costs)) as (drawing, row):
            for axes, (cost, label) in zip(row, costs.items(), strict=True):
                data[f"on_{cost}_front"] = front(data[cost].to_numpy(), data["accuracy"].to_numpy())
                scatter(axes, data, cost, styles)
                axes.set_xlabel(label)
                axes.set_ylabel("top-1 accuracy (%)" if axes is row[0] else "")
            row[0].set_title(title(dataset, condition), loc="left")
            handles, names = row[-1].get_legend_handles_labels()
            for axes in row:
                remove_legend(axes)
            rows = legend_below(drawing, handles, names)
            drawing.set_figheight(drawing.get_figheight() + 0.2 * (rows - 1))
        yield render(
            drawing,
            name=file_name(scenario, dataset, condition, "cost"),
            title=f"Accuracy against cost on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. The stepped line is the front: no method is both cheaper "
            "and better. Bars are 95 % intervals. FLOPs and milliseconds leave the encoder out; a method whose FLOPs "
            "nobody can count is not drawn against them.",
            data=data,
            wide=True,
        )


def scatter(axes: Axes, data: pd.DataFrame, cost: str, styles: Mapping[str, PlotStyle]) -> None:
    """Draw accuracy against a cost, a mark a method, and the front: the rows of ``data`` with ``on_COST_front``."""
    drawn = in_percent(data, "accuracy")
    sides = [drawn["accuracy"] - drawn["accuracy_low"], drawn["accuracy_high"] - drawn["accuracy"]]
    # matplotlib's types know of one colour for all alone.
    colours: Any = [styles[str(method)].colour for method in drawn["method"]]
    spread = np.nan_to_num(np.array(sides))
    axes.errorbar(drawn[cost], drawn["accuracy"], yerr=spread, fmt="none", ecolor=colours, elinewidth=1.5, zorder=2)
    methods = drawn["method"].tolist()
    seaborn().scatterplot(
        drawn,
        x=cost,
        y="accuracy",
        hue="method",
        hue_order=methods,
        style="method",
        style_order=methods,
        palette={method: styles[method].colour for method in methods},
        markers={method: styles[method].marker for method in methods},
        s=46,
        zorder=3,
        ax=axes,
    )
    best = drawn[drawn[f"on_{cost}_front"]].sort_values(cost)
    axes.step(best[cost], best["accuracy"], where="post", color="#777777", linewidth=1, zorder=0)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 4 * low:
        # Costs that are nearly the same are drawn side by side, not spread over the whole width by their last digits.
        centre = np.sqrt(low * high)
        axes.set_xlim(centre / 2, 2 * centre)
    large = EngFormatter(sep="")
    low, high = axes.get_xlim()
    # Three numbers a decade stand in each other's way over two of them.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.xaxis.set_major_formatter(lambda value, place: large(value) if value >= 1000 else f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
