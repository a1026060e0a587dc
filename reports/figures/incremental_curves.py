"""Accuracy session by session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import (
    Figure,
    bands,
    canvas,
    in_percent,
    legend,
    lines,
    plot_styles,
    render,
    title,
)
from bench.reports.forms.intervals import Floats, t_intervals
from bench.reports.metrics.cost import edit_names
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.session_intervals import SessionBounds, session_bounds
from bench.reports.utils.text import file_name, place

_GROUPS = {
    "accuracy": "all classes so far",
    "start_accuracy": "classes of session 0",
    "later_accuracy": "classes that came later",
}
"""What a curve is drawn of where the classes stay the same for a while, a panel each."""

_CURVES = [*_GROUPS, "old_accuracy", "new_accuracy"]
_ROW = [*GROUP, "method", "session"]

Edits = Mapping[tuple[str, str, str], Mapping[int, str]]
"""By scenario, data set and condition: what was done to the memory in each session."""


def _by_group(analysis: Analysis) -> list[tuple[pd.DataFrame, list[Group], Edits]]:
    """Return the sessions and answers of each group, and all edits of memories."""
    edits = edit_names(analysis.records)
    parts = analysis.sessions.groupby(GROUP, sort=True)
    return [(part, [group for group in analysis.groups if group.key == key], edits) for key, part in parts]


@figure("curve", section="scores", each=_by_group)
def incremental_curves(analysis: Analysis, part: tuple[pd.DataFrame, list[Group], Edits]) -> Iterator[Figure]:
    """Yield the curve of a group that has more than one session."""
    sessions, groups, edits = part
    yield from curves(sessions, edits, session_bounds(groups), analysis.methods)


def curves(
    sessions: pd.DataFrame,
    edits: Edits | None = None,
    bounds: SessionBounds | None = None,
    methods: Sequence[str] | None = None,
) -> Iterator[Figure]:
    """Yield the incremental accuracy curve of each group that has more than one session.

    ``bounds`` are those over seeds and queries; where a method has none they are over its seeds. ``methods`` are all
    methods of the report, so that each keeps its colour; without them those of the sessions.
    """
    styles = plot_styles(methods if methods is not None else sessions["method"].unique().tolist())
    for (scenario, dataset, condition), part in sessions.groupby(GROUP, sort=True):
        if part["session"].nunique() < 2:
            continue
        done = (edits or {}).get((str(scenario), str(dataset), str(condition)), {})
        data = curve_data(part, done, bounds)
        fewest = int(data["seeds"].min())
        band = "bands are 95 % intervals, for new seeds and new images of these classes"
        if fewest == 1:
            band = "one seed: bands are 95 % intervals for new images of these classes alone"
        # Where classes stay the same for a while (a memory that is edited), sessions are what moves on.
        grows = not data.duplicated(["method", "classes_seen"]).any()
        panels = {"accuracy": ""} if grows else {name: text for name, text in _GROUPS.items() if name in data}
        along = "classes_seen" if grows else "session"
        shown = "all classes seen so far"
        if len(panels) > 1:
            shown += ", on those of session 0 and on those that came later,"
        with canvas(2 + 4.4 * len(panels), 4.0 + (0.7 if done else 0), ncols=len(panels)) as (drawing, row):
            drawn = in_percent(data, *panels)
            for axes, (score, of) in zip(row, panels.items(), strict=True):
                lines(axes, drawn, along, score, styles)
                bands(axes, drawn, along, score, styles, edges=True)
                axes.set_xlabel("classes seen so far" if grows else "session")
                axes.set_ylabel("")
                if done:
                    _name_edits(axes, done)
                axes.set_title(of if len(panels) > 1 else title(dataset, condition), loc="left")
            if len(panels) > 1:
                # One scale, so that what old classes lose can be compared with what new ones gain.
                lows, highs = zip(*(axes.get_ylim() for axes in row), strict=True)
                for axes in row:
                    axes.set_ylim(min(lows), max(highs))
                drawing.suptitle(title(dataset, condition), x=0.005, ha="left", fontsize=10.5)
            among = f" on all {'of them' if grows else 'classes seen so far'}" if len(panels) == 1 else ""
            row[0].set_ylabel(f"top-1 accuracy{among} (%)")
            legend(drawing, row[0])
        yield render(
            drawing,
            name=file_name(scenario, dataset, condition, "curve"),
            title=f"Incremental accuracy on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. Accuracy on {shown} after each session; {band}.",
            data=data,
            wide=len(panels) > 1,
        )


def _name_edits(axes: Axes, edits: Mapping[int, str]) -> None:
    axes.set_xticks(list(edits), [f"{n} {text}".removesuffix(" none") for n, text in edits.items()])
    for text in axes.get_xticklabels():
        text.set(rotation=35, ha="right", rotation_mode="anchor")


def curve_data(
    sessions: pd.DataFrame, edits: Mapping[int, str] | None = None, bounds: SessionBounds | None = None
) -> pd.DataFrame:
    """Return one row a method and session: mean accuracies over seeds, their 95 % bounds, and the number of seeds.

    Accuracies are those on all classes, on those of session 0 and on all others, on those that were there before the
    session (old) and on those that came in it (new); one that is null throughout has no column.
    """
    ordered = sessions.sort_values(["method", "session"], kind="stable")
    begin = np.flatnonzero(~ordered.duplicated(["method", "session"]))
    data = ordered[["method", "session"]].iloc[begin].reset_index(drop=True)
    if edits:
        data["edit"] = data["session"].map(dict(edits))

    seeds = np.diff([*begin, len(ordered)])
    # Rows over equally many seeds are computed together: [r] rows and, for each, the places of its seeds [r, seeds].
    alike = [np.flatnonzero(seeds == n) for n in np.unique(seeds)]
    blocks = [(rows, begin[rows][:, None] + np.arange(seeds[rows[0]])) for rows in alike]

    def by_row(name: str, compute: Callable[[Floats], Floats]) -> Floats:
        """Return what a function gives for the values of each row [rows]."""
        values, computed = ordered[name].to_numpy(dtype=np.float64), np.empty(len(begin))
        for rows, places in blocks:
            computed[rows] = compute(values[places])
        return computed

    data["classes_seen"] = by_row("n_classes", lambda values: values.mean(axis=1))
    rows = list(zip(*(ordered[name].iloc[begin] for name in _ROW), strict=True))
    for score in _CURVES:
        if score in ordered and ordered[score].notna().any():
            data[score] = by_row(score, lambda values: values.mean(axis=1))
            known = [(bounds or {}).get((*key, score, int(session))) for *key, session in rows]
            for end, side in enumerate(("low", "high")):
                own = np.clip(by_row(score, lambda values: t_intervals(values)[end]), 0, 1)  # noqa: B023  # called here
                data[f"{score}_{side}"] = [one if of is None else of[end] for one, of in zip(own, known, strict=True)]
    return data.assign(seeds=seeds)
