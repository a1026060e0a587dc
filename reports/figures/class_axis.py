"""Axes along which classes lie, and the names of classes in the numbers behind a figure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from bench.reports.records.class_names import name_of, short

_LABELLED = 40
"""Most classes that are all named along an axis; of more, every n-th is."""


def name_classes(axes: Axes, classes: pd.Index, names: Sequence[str], *, first: float = 0.0) -> None:
    """Name the classes along the x-axis of some axes; ``first`` is where the first of them lies."""
    step = -(-len(classes) // _LABELLED)
    at = range(0, len(classes), step)
    labels = [short(name_of(names, int(classes[i]))) for i in at]
    axes.set_xticks([first + i for i in at], labels, fontsize=9 if len(at) <= 15 else 6.5)
    if names:
        for text in axes.get_xticklabels():
            text.set(rotation=60, ha="right", rotation_mode="anchor")
    axes.set_xlabel("class" if names else "class id")


def with_names(data: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the numbers of a figure with the name of each class after its id, where classes have names."""
    if not names:
        return data
    named = data.copy()
    named.insert(list(data).index("class") + 1, "class_name", [name_of(names, int(c)) for c in data["class"]])
    return named
