"""Which method is right where another is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, heatmap, name_shown, render, title
from bench.reports.records.paired_predictions import Group
from bench.reports.utils.text import file_name, place


@figure("disagreement", section="comparisons", each=lambda analysis: analysis.detailed_groups, early=True)
def disagreements(analysis: Analysis, group: Group) -> Iterator[Figure]:
    """Yield a map of methods by methods for a group."""
    yield from maps([group])


def maps(groups: Sequence[Group]) -> Iterator[Figure]:
    """Yield the share of queries that one method answers rightly and another wrongly, for each group with several."""
    for group in groups:
        methods = sorted(group.predictions)
        if len(methods) < 2:
            continue
        data = pd.DataFrame(
            [(a, b, _share(group, a, b)) for a in methods for b in methods], columns=["right", "wrong", "share"]
        )
        grid = 100 * data.pivot_table("share", "right", "wrong", dropna=False).loc[methods, methods]
        # A method is never right where it is wrong: its own square says nothing.
        hidden = np.eye(len(methods), dtype=bool) | grid.isna().to_numpy()
        if hidden.all():
            continue
        size = 0.55 * len(methods)
        # Names stand left of the squares, and slanted below them.
        names = 0.075 * max(len(name_shown(method)) for method in methods)
        width, height = 2.0 + names + size, 1.5 + 0.6 * names + size
        with canvas(width, height) as (drawing, (axes,)):
            shown = grid.mask(hidden)
            most = max(float(np.nanmax(shown.to_numpy())), 1.0)
            heatmap(axes, shown, cmap="Blues", low=0, high=most, label="% of queries", numbers=True)
            axes.set_aspect("equal")
            # Squares stay where names begin: the layout measures names from there, and would cut them off elsewhere.
            axes.set_anchor("SW")
            axes.tick_params(length=0)
            axes.set_xlabel("is wrong")
            axes.set_ylabel("is right")
            places = np.arange(len(methods)) + 0.5
            axes.set_xticks(
                places, [name_shown(method) for method in methods], rotation=35, ha="right", rotation_mode="anchor"
            )
            # Above the whole figure: the axes are as narrow as the methods are few.
            drawing.suptitle(title(group.dataset, group.condition, width), x=0.02, ha="left", fontsize=10.5)
        yield render(
            drawing,
            name=file_name(*group.key, "disagreement"),
            title=f"Who is right where the other is wrong on {group.dataset}",
            caption=f"{place(*group.key)}. Share of queries that the method of the row answers rightly and that of the "
            "column does not.",
            data=data,
        )


def _share(group: Group, a: str, b: str) -> float:
    """Return the share of queries that a answers rightly and b wrongly, mean over the seeds that pair; NaN if none."""
    of_a, of_b = group.predictions[a], group.predictions[b]
    shares = [
        float((of_a[s].correct & ~of_b[s].correct).mean())
        for s in sorted(set(of_a) & set(of_b))
        if of_a[s].pairs_with(of_b[s])
    ]
    return float(np.mean(shares)) if shares else float("nan")
