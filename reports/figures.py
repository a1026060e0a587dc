"""Figures, each a PNG, an SVG and the CSV behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.reports.intervals import t_interval
from bench.reports.load import GROUP
from bench.reports.style import Look, Picture, canvas, file_name, legend, looks, picture, place, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_GROUPS = {
    "accuracy": "all classes so far",
    "start_accuracy": "classes of session 0",
    "later_accuracy": "classes that came later",
}
"""What a curve is drawn of where the classes stay the same for a while, a panel each."""

_CURVES = [*_GROUPS, "old_accuracy", "new_accuracy"]

Edits = Mapping[tuple[str, str, str], Mapping[int, str]]
"""By scenario, data set and condition: what was done to the memory in each session."""


def curves(sessions: pd.DataFrame, edits: Edits | None = None) -> Iterator[Picture]:
    """Yield the incremental accuracy curve of each group that has more than one session."""
    look = looks(sessions["method"].unique().tolist())
    for (scenario, dataset, condition), part in sessions.groupby(GROUP, sort=True):
        if part["session"].nunique() < 2:
            continue
        done = (edits or {}).get((str(scenario), str(dataset), str(condition)), {})
        data = curve_data(part, done)
        fewest = int(data["seeds"].min())
        band = "bands are 95 % intervals over seeds" if fewest > 1 else "one seed: no band over seeds"
        # Where classes stay the same for a while (a memory that is edited), sessions are what moves on.
        grows = not data.duplicated(["method", "classes_seen"]).any()
        panels = {"accuracy": ""} if grows else {name: text for name, text in _GROUPS.items() if name in data}
        shown = "all classes seen so far"
        if len(panels) > 1:
            shown += ", on those of session 0 and on those that came later,"
        with canvas(2 + 4.4 * len(panels), 4.0 + (0.7 if done else 0), ncols=len(panels)) as (figure, row):
            for axes, (score, of) in zip(row, panels.items(), strict=True):
                _draw(axes, data, score, "classes_seen" if grows else "session", look)
                axes.set_xlabel("classes seen so far" if grows else "session")
                if done:
                    _name_edits(axes, done)
                axes.set_title(of if len(panels) > 1 else title(dataset, condition), loc="left")
            if len(panels) > 1:
                # One scale, so that what old classes lose can be compared with what new ones gain.
                lows, highs = zip(*(axes.get_ylim() for axes in row), strict=True)
                for axes in row:
                    axes.set_ylim(min(lows), max(highs))
                figure.suptitle(title(dataset, condition), x=0.005, ha="left", fontsize=10.5)
            among = f" on all {'of them' if grows else 'classes seen so far'}" if len(panels) == 1 else ""
            row[0].set_ylabel(f"top-1 accuracy{among} (%)")
            legend(figure, row[0])
        yield picture(
            figure,
            name=file_name(scenario, dataset, condition, "curve"),
            title=f"Incremental accuracy on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. Accuracy on {shown} after each session; {band}.",
            data=data,
        )


def _draw(axes: Axes, data: pd.DataFrame, score: str, along: str, look: Mapping[str, Look]) -> None:
    for method, line in data.groupby("method", sort=True):
        style = look[str(method)]
        axes.plot(
            line[along],
            100 * line[score],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash,
            label=str(method),
        )
        low, high = 100 * line[f"{score}_low"], 100 * line[f"{score}_high"]
        axes.fill_between(line[along], low, high, color=style.colour, alpha=0.1, linewidth=0)
        for edge in (low, high):
            axes.plot(line[along], edge, color=style.colour, alpha=0.5, linewidth=0.6)


def _name_edits(axes: Axes, edits: Mapping[int, str]) -> None:
    axes.set_xticks(list(edits), [f"{n} {text}".removesuffix(" none") for n, text in edits.items()])
    for text in axes.get_xticklabels():
        text.set(rotation=35, ha="right", rotation_mode="anchor")


def curve_data(sessions: pd.DataFrame, edits: Mapping[int, str] | None = None) -> pd.DataFrame:
    """Return one row a method and session: mean accuracies over seeds, their 95 % bounds, and the number of seeds.

    Accuracies are those on all classes, on those of session 0 and on all others, on those that were there before the
    session (old) and on those that came in it (new); one that is null throughout has no column.
    """
    ordered = sessions.sort_values(["method", "session"], kind="stable")
    begin = np.flatnonzero(~ordered.duplicated(["method", "session"]))
    data = ordered[["method", "session"]].iloc[begin].reset_index(drop=True)
    if edits:
        data["edit"] = data["session"].map(dict(edits))

    def by_row(name: str) -> list[np.ndarray]:
        return np.split(ordered[name].to_numpy(), begin[1:])

    data["classes_seen"] = [values.mean() for values in by_row("n_classes")]
    for score in _CURVES:
        if score in ordered and ordered[score].notna().any():
            values = by_row(score)
            bounds = [np.clip(t_interval(one), 0, 1) for one in values]
            data[score] = [one.mean() for one in values]
            data[f"{score}_low"], data[f"{score}_high"] = zip(*bounds, strict=True)
    return data.assign(seeds=[len(values) for values in by_row("accuracy")])
