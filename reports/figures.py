"""Figures, each a PNG, an SVG and the CSV behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.intervals import t_interval
from reports.load import GROUP
from reports.style import Picture, canvas, file_name, looks, picture, place, title


def curves(sessions: pd.DataFrame) -> Iterator[Picture]:
    """Yield the incremental accuracy curve of each group that has more than one session."""
    look = looks(sessions["method"].unique().tolist())
    for (scenario, dataset, condition), part in sessions.groupby(GROUP, sort=True):
        if part["session"].nunique() < 2:
            continue
        data = curve_data(part)
        fewest = int(data["seeds"].min())
        band = "bands are 95 % intervals over seeds" if fewest > 1 else "one seed: no band over seeds"
        # Where classes stay the same for a while (a memory that is edited), sessions are what moves on.
        grows = not data.duplicated(["method", "classes_seen"]).any()
        along = "classes_seen" if grows else "session"
        with canvas() as (figure, (axes,)):
            for method, line in data.groupby("method", sort=True):
                style = look[str(method)]
                axes.plot(
                    line[along],
                    100 * line["accuracy"],
                    color=style.colour,
                    marker=style.marker,
                    linestyle=style.dash,
                    label=str(method),
                )
                low, high = 100 * line["accuracy_low"], 100 * line["accuracy_high"]
                axes.fill_between(line[along], low, high, color=style.colour, alpha=0.1, linewidth=0)
                for edge in (low, high):
                    axes.plot(line[along], edge, color=style.colour, alpha=0.5, linewidth=0.6)
            axes.set_xlabel("classes seen so far" if grows else "session")
            axes.set_ylabel(f"top-1 accuracy on all {'of them' if grows else 'classes seen so far'} (%)")
            axes.set_title(title(dataset, condition), loc="left")
            axes.legend(ncols=2)
        yield picture(
            figure,
            name=file_name(scenario, dataset, condition, "curve"),
            title=f"Incremental accuracy on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. Accuracy on all classes seen so far after each session; "
            f"{band}.",
            data=data,
        )


def curve_data(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a method and session: mean accuracy over seeds, its 95 % bounds, and the number of seeds."""
    ordered = sessions.sort_values(["method", "session"], kind="stable")
    begin = np.flatnonzero(~ordered.duplicated(["method", "session"]))
    columns = {name: np.split(ordered[name].to_numpy(), begin[1:]) for name in ("accuracy", "n_classes")}
    bounds = [np.clip(t_interval(values), 0, 1) for values in columns["accuracy"]]
    data = ordered[["method", "session"]].iloc[begin].reset_index(drop=True)
    return data.assign(
        classes_seen=[values.mean() for values in columns["n_classes"]],
        accuracy=[values.mean() for values in columns["accuracy"]],
        accuracy_low=[low for low, _ in bounds],
        accuracy_high=[high for _, high in bounds],
        seeds=[len(values) for values in columns["accuracy"]],
    )
