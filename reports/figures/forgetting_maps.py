"""The forgetting of each class under each method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.class_axis import name_classes, with_names
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, heatmap, render, title
from bench.reports.metrics.per_cell import Scores
from bench.reports.records.arrow_columns import plain
from bench.reports.records.class_names import ClassNames
from bench.reports.records.keys import GROUP
from bench.reports.utils.text import file_name, place


def _by_group(analysis: Analysis) -> list[pd.DataFrame]:
    """Return the mean forgetting of each class under each method, for each group with several sessions."""
    return [part for _, part in class_means(analysis.records, analysis.scores).groupby(GROUP, sort=True)]


def class_means(records: pd.DataFrame, scored: Scores) -> pd.DataFrame:
    """Return one row a group, method and class: its mean forgetting over seeds."""
    keys = [*GROUP, "method"]
    cells = plain(records[["cell", *keys]].drop_duplicates("cell")).set_index("cell").loc[scored.last["cell"]]
    # Cells of one method and group have one number: a million rows are grouped by it, not by four texts.
    kinds = cells.groupby(keys, sort=True).ngroup().to_numpy()
    lost = scored.classes.assign(kind=kinds[scored.classes["place"]]).dropna()
    means = lost.groupby(["kind", "class"], sort=True)["forgetting"].mean().reset_index()
    return means.merge(cells.assign(kind=kinds).drop_duplicates("kind"), on="kind")


@figure("forgetting", section="classes", each=_by_group)
def forgetting_maps(analysis: Analysis, means: pd.DataFrame) -> Iterator[Figure]:
    """Yield a map of methods by classes for a group with several sessions."""
    yield from maps(means, analysis.class_names)


def maps(means: pd.DataFrame, class_names: ClassNames) -> Iterator[Figure]:
    """Yield the forgetting of each class under each method, of each group in what :func:`class_means` gives."""
    for (scenario, dataset, condition), part in means.groupby(GROUP, sort=True):
        names = class_names.get(str(dataset), ())
        data = part[["method", "class", "forgetting"]].reset_index(drop=True)
        grid = data.pivot_table("forgetting", "method", "class")
        grid = grid[grid.mean().sort_values(ascending=False, kind="stable").index]
        with canvas(6.4, 1.6 + 0.28 * len(grid) + (1.0 if names else 0)) as (drawing, (axes,)):
            limit = 100 * max(0.01, float(np.nanmax(np.abs(grid.to_numpy()))))
            heatmap(axes, 100 * grid, cmap="PuOr_r", low=-limit, high=limit, label="forgetting (points)")
            name_classes(axes, grid.columns, names, first=0.5)
            axes.tick_params(axis="y", length=0)
            axes.set_ylabel("")
            axes.set_xlabel(f"{axes.get_xlabel()}, most forgotten first")
            # Above the whole figure, as the axes begin where the names of methods end.
            drawing.suptitle(title(dataset, condition), x=0.02, ha="left", fontsize=10.5)
        yield render(
            drawing,
            name=file_name(scenario, dataset, condition, "forgetting"),
            title=f"Forgetting on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. Best earlier accuracy of a class minus its last, mean "
            "over seeds: orange is lost, purple gained.",
            data=with_names(data, names),
        )
