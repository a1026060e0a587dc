"""Figures about single classes: what is forgotten, and where two methods differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.reports.answers import Answers, Group
from bench.reports.columns import plain
from bench.reports.load import GROUP
from bench.reports.names import ClassNames, name_of, short
from bench.reports.scores import Scores
from bench.reports.style import Picture, canvas, file_name, looks, picture, place, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELLED = 40
"""Most classes that are all named along an axis; of more, every n-th is."""


def _name_classes(axes: Axes, classes: pd.Index, names: Sequence[str]) -> None:
    step = -(-len(classes) // _LABELLED)
    at = range(0, len(classes), step)
    labels = [short(name_of(names, int(classes[i]))) for i in at]
    axes.set_xticks(list(at), labels, fontsize=9 if len(at) <= 15 else 6.5)
    if names:
        for text in axes.get_xticklabels():
            text.set(rotation=60, ha="right", rotation_mode="anchor")
    axes.set_xlabel("class" if names else "class id")


def _with_names(data: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the numbers of a figure with the name of each class after its id, where classes have names."""
    if not names:
        return data
    named = data.copy()
    named.insert(list(data).index("class") + 1, "class_name", [name_of(names, int(c)) for c in data["class"]])
    return named


def forgetting_maps(records: pd.DataFrame, scored: Scores, class_names: ClassNames) -> Iterator[Picture]:
    """Yield the forgetting of each class under each method, for each group with several sessions."""
    keys = [*GROUP, "method"]
    cells = plain(records[["cell", *keys]].drop_duplicates("cell")).set_index("cell").loc[scored.last["cell"]]
    # Cells of one method and group have one number: a million rows are grouped by it, not by four texts.
    kinds = cells.groupby(keys, sort=True).ngroup().to_numpy()
    lost = scored.classes.assign(kind=kinds[scored.classes["place"]]).dropna()
    means = lost.groupby(["kind", "class"], sort=True)["forgetting"].mean().reset_index()
    named = cells.assign(kind=kinds).drop_duplicates("kind")
    for (scenario, dataset, condition), part in means.merge(named, on="kind").groupby(GROUP, sort=True):
        names = class_names.get(str(dataset), ())
        data = part[["method", "class", "forgetting"]].reset_index(drop=True)
        grid = data.pivot_table("forgetting", "method", "class")
        grid = grid[grid.mean().sort_values(ascending=False, kind="stable").index]
        with canvas(6.4, 1.6 + 0.28 * len(grid) + (1.0 if names else 0)) as (figure, (axes,)):
            limit = max(0.01, float(np.nanmax(np.abs(grid.to_numpy()))))
            # Anything smoother would mix the rows of two methods where classes are many.
            image = axes.imshow(
                100 * grid, "PuOr_r", aspect="auto", interpolation="nearest", vmin=-100 * limit, vmax=100 * limit
            )
            axes.set_yticks(range(len(grid)), [str(m) for m in grid.index])
            _name_classes(axes, grid.columns, names)
            axes.set_xlabel(f"{axes.get_xlabel()}, most forgotten first")
            axes.grid(visible=False)
            axes.set_title(title(dataset, condition), loc="left")
            figure.colorbar(image, ax=axes, shrink=0.9, label="forgetting (points)")
        yield picture(
            figure,
            name=file_name(scenario, dataset, condition, "forgetting"),
            title=f"Forgetting on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. Best earlier accuracy of a class minus its last, mean "
            "over seeds: orange is lost, purple gained.",
            data=_with_names(data, names),
        )


def class_differences(groups: Sequence[Group], methods: Sequence[str], class_names: ClassNames) -> Iterator[Picture]:
    """Yield the difference of each class between the two most accurate methods of each group.

    It is taken over the seeds in which the two have the same queries; a group without such a seed has no figure.
    ``methods`` are all methods of the report, so that a method keeps its colour.
    """
    look = looks(methods)
    for group in groups:
        means = {method: _recall(list(seeds.values())).mean() for method, seeds in group.answers.items()}
        best = sorted(means, key=lambda method: (-means[method], method))[:2]
        if len(best) < 2:
            continue
        a, b = best
        runs = [(group.answers[a][s], group.answers[b][s]) for s in group.answers[a] if s in group.answers[b]]
        runs = [(x, y) for x, y in runs if x.fingerprint == y.fingerprint]
        if not runs:
            continue
        names = class_names.get(group.dataset, ())
        gap = _recall([x for x, _ in runs]) - _recall([y for _, y in runs])
        gap = gap.dropna().sort_values(ascending=False, kind="stable")
        data = pd.DataFrame({"class": gap.index, "a": a, "b": b, "difference": gap.to_numpy()})
        with canvas(6.4, 4.2 if names else 3.2) as (figure, (axes,)):
            colours = np.where(gap > 0, look[a].colour, look[b].colour)
            axes.bar(range(len(gap)), 100 * gap, color=colours, width=0.9)
            _name_classes(axes, gap.index, names)
            axes.grid(visible=False, axis="x")
            axes.set_ylabel(f"recall of {a}\n- recall of {b} (points)")
            axes.set_title(title(group.dataset, group.condition), loc="left")
        yield picture(
            figure,
            name=file_name(group.scenario, group.dataset, group.condition, "classes"),
            title=f"Class by class on {group.dataset}",
            caption=f"{place(group.scenario, group.dataset, group.condition)}. Recall of {a} minus recall of {b} in "
            "each class, mean over seeds, sorted.",
            data=_with_names(data, names),
        )


def _recall(runs: Sequence[Answers]) -> pd.Series:
    """Return the recall of each class, mean over some runs, by class id."""
    found = []
    for run in runs:
        asked = np.bincount(run.labels)
        classes = np.flatnonzero(asked)
        found.append(pd.Series(np.bincount(run.labels, run.right)[classes] / asked[classes], index=classes))
    return pd.concat(found, axis=1).mean(axis=1)
