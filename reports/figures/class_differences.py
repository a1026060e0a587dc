"""Where two methods differ, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from bench.reports.analysis import Analysis
from bench.reports.figures.class_axis import name_classes, with_names
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, name_shown, plot_styles, render, title
from bench.reports.forms.intervals import Floats
from bench.reports.records.arrow_columns import Ints
from bench.reports.records.class_names import ClassNames, short
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.utils.text import file_name, place

_HALF = 0.45
"""Half the width of a bar; the next is 1 away."""
_BESIDE = 24
"""Letters of a method's name along the axis on the left."""


@figure("classes", section="classes", each=lambda analysis: analysis.detailed_groups, early=True)
def class_differences(analysis: Analysis, group: Group) -> Iterator[Figure]:
    """Yield the difference of each class between the two most accurate methods of a group."""
    yield from differences([group], analysis.methods, analysis.class_names)


def differences(groups: Sequence[Group], methods: Sequence[str], class_names: ClassNames) -> Iterator[Figure]:
    """Yield the difference of each class between the two most accurate methods of each group.

    It is taken over the seeds in which the two have the same queries; a group without such a seed has no figure.
    ``methods`` are all methods of the report, so that a method keeps its colour.
    """
    styles = plot_styles(methods)
    for group in groups:
        means = {method: _recall(list(seeds.values())).mean() for method, seeds in group.predictions.items()}
        best = sorted(means, key=lambda method: (-means[method], method))[:2]
        if len(best) < 2:
            continue
        a, b = best
        of_a, of_b = group.predictions[a], group.predictions[b]
        runs = [(of_a[s], of_b[s]) for s in of_a if s in of_b and of_a[s].pairs_with(of_b[s])]
        if not runs:
            continue
        names = class_names.get(group.dataset, ())
        gap = _recall([x for x, _ in runs]) - _recall([y for _, y in runs])
        gap = gap.dropna().sort_values(ascending=False, kind="stable")
        data = pd.DataFrame({"class": gap.index, "a": a, "b": b, "difference": gap.to_numpy()})
        with canvas(6.4, 4.2 if names else 3.2) as (drawing, (axes,)):
            points = 100 * gap.to_numpy()
            # Classes without a difference have no bar, and need no legend beside the others.
            sides = ((a, points > 0), (b, points < 0))
            ahead = [(f"{name_shown(name)} ahead", which, styles[name].colour) for name, which in sides]
            for text, which, colour in ahead if points.any() else [("equal", points == 0, "#777777")]:
                if which.any():
                    _bars(axes, np.flatnonzero(which), points[which], colour=colour, label=text)
            axes.legend(*axes.get_legend_handles_labels(), loc="upper right")
            axes.set_xlim(-0.6, len(gap) - 0.4)
            name_classes(axes, gap.index, names)
            axes.grid(visible=False, axis="x")
            axes.axhline(0, color="#444444", linewidth=0.8)
            axes.set_ylabel(f"recall of {short(a, _BESIDE)}\n- recall of {short(b, _BESIDE)} (points)")
            axes.set_title(title(group.dataset, group.condition), loc="left")
        yield render(
            drawing,
            name=file_name(*group.key, "classes"),
            title=f"Class by class on {group.dataset}",
            caption=f"{place(*group.key)}. Recall of {a} minus recall of {b} in each class, mean over seeds, sorted.",
            data=with_names(data, names),
        )


def _bars(axes: Axes, places: Ints, heights: Floats, *, colour: str, label: str) -> None:
    """Draw bars [n] of one colour as one artist: a figure of a hundred bars, each its own, takes a third longer."""
    left, right, foot = places - _HALF, places + _HALF, np.zeros(len(places))
    corners = [[left, foot], [right, foot], [right, heights], [left, heights]]
    bars = PolyCollection(list(np.moveaxis(np.array(corners), -1, 0)), facecolors=colour, linewidths=0, label=label)
    # As with bars of matplotlib's own, there is no margin below 0 where no bar goes there.
    bars.sticky_edges.y.append(0)
    axes.add_collection(bars)
    axes.autoscale_view()


def _recall(runs: Sequence[PairedPredictions]) -> pd.Series:
    """Return the recall of each class, mean over some runs, by class id."""
    by_run = []
    for run in runs:
        queries = np.bincount(run.labels)
        classes = np.flatnonzero(queries)
        by_run.append(pd.Series(np.bincount(run.labels, run.correct)[classes] / queries[classes], index=classes))
    return pd.concat(by_run, axis=1).mean(axis=1)
