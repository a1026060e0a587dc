"""Figures about costs, pairs of methods, swept conditions and ranks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.reports.answers import Group
from bench.reports.load import GROUP
from bench.reports.ranks import Ranking
from bench.reports.style import Look, Picture, canvas, file_name, legend, looks, natural, picture, place, slug, title
from bench.reports.tables import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SWEPT = {
    "rate": "rate (share that is spoilt)",
    "shots": "shots (labelled images a class)",
    "items": "items of memory a class and modality",
}
"""What the numbers of well-known sweeps are."""

_CONDITIONS = 3
"""Most conditions of a data set that each get figures of their own."""


def detailed(means: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the groups that get figures of their own, and a note where some do not.

    A sweep has a curve; of the conditions of one data set beyond three, only the first and the last get more.
    """
    kept, notes = [], []
    for (scenario, dataset), part in means.groupby(["scenario", "dataset"], sort=True):
        conditions = sorted(part["condition"].unique(), key=natural)
        if len(conditions) > _CONDITIONS:
            notes.append(f"{scenario} on {dataset}: figures by condition show the first and last of {len(conditions)}")
            conditions = [conditions[0], conditions[-1]]
        kept += [(scenario, dataset, condition) for condition in conditions]
    return pd.DataFrame(kept, columns=GROUP), notes


def tradeoffs(means: pd.DataFrame) -> Iterator[Picture]:
    """Yield accuracy against FLOPs, seconds and bytes, each with the front of methods that nothing beats in both."""
    look = looks(means["method"].tolist())
    seconds = means[[f"{phase}_seconds" for phase in PHASES]].sum(axis=1, skipna=False)
    table = means.assign(seconds=seconds)
    words = {
        "answer_flops_per_query": "FLOPs a query, retrieve + score",
        "seconds": "seconds, train + build + retrieve + score",
        "state_bytes": "bytes of state",
    }
    for (scenario, dataset, condition), part in table.groupby(GROUP, sort=True):
        if len(part) < 2:
            continue
        known = {cost: label for cost, label in words.items() if part[cost].notna().any()}
        data = part[["method", "accuracy", "accuracy_low", "accuracy_high", *known]].sort_values("method")
        with canvas(1 + 3.5 * len(known), 3.8, ncols=len(known)) as (figure, row):
            for axes, (cost, label) in zip(row, known.items(), strict=True):
                data[f"on_{cost}_front"] = front(data[cost].to_numpy(), data["accuracy"].to_numpy())
                _scatter(axes, data, cost, look)
                axes.set_xlabel(label)
            row[0].set_ylabel("top-1 accuracy (%)")
            row[0].set_title(title(dataset, condition), loc="left")
            handles, names = row[-1].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)))
        yield picture(
            figure,
            name=file_name(scenario, dataset, condition, "cost"),
            title=f"Accuracy against cost on {dataset}",
            caption=f"{place(scenario, dataset, condition)}. The stepped line is the front: no method is both cheaper "
            "and better. Bars are 95 % intervals. FLOPs leave the encoder out; a method whose FLOPs nobody can count "
            "is not drawn against them.",
            data=data,
        )


def _scatter(axes: Axes, data: pd.DataFrame, cost: str, look: dict[str, Look]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    for row in data.to_dict("records"):
        style = look[str(row["method"])]
        y = 100 * row["accuracy"]
        spread = np.nan_to_num([[y - 100 * row["accuracy_low"]], [100 * row["accuracy_high"] - y]])
        axes.errorbar(
            row[cost], y, yerr=spread, color=style.colour, marker=style.marker, linestyle="", label=str(row["method"])
        )
    best = data[data[f"on_{cost}_front"]].sort_values(cost)
    axes.step(best[cost], 100 * best["accuracy"], where="post", color="#777777", linewidth=1, zorder=0)
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


def front(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Return which points no other beats: none is at most as costly and at least as accurate, and better in one.

    A point whose cost is not known (NaN) is not on the front.
    """
    cheaper = (cost[:, None] <= cost) & (accuracy[:, None] >= accuracy)
    strictly = (cost[:, None] < cost) | (accuracy[:, None] > accuracy)
    return np.asarray(~(cheaper & strictly).any(0) & ~np.isnan(cost))


def disagreements(groups: Sequence[Group]) -> Iterator[Picture]:
    """Yield who is right where the other is wrong, for each group with several methods."""
    for group in groups:
        methods = sorted(group.answers)
        rows = []
        for a in methods:
            for b in methods:
                seeds = sorted(set(group.answers[a]) & set(group.answers[b]))
                pairs = [(group.answers[a][s], group.answers[b][s]) for s in seeds]
                shares = [float((x.right & ~y.right).mean()) for x, y in pairs if x.fingerprint == y.fingerprint]
                rows.append((a, b, float(np.mean(shares)) if shares else float("nan")))
        data = pd.DataFrame(rows, columns=["right", "wrong", "share"])
        if len(methods) < 2 or data["share"].isna().all():
            continue
        grid = 100 * data.pivot_table("share", "right", "wrong", dropna=False).loc[methods, methods]
        size = 0.55 * len(methods)
        with canvas(2.6 + size, 1.9 + size) as (figure, (axes,)):
            image = axes.imshow(grid, cmap="Blues", vmin=0, interpolation="nearest")
            axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right")
            axes.set_yticks(range(len(methods)), methods)
            axes.set_xlabel("is wrong")
            axes.set_ylabel("is right")
            axes.grid(visible=False)
            shown = grid.to_numpy()
            dark = float(np.nanmax(shown)) / 2
            for i, j in np.argwhere(~np.isnan(shown) & ~np.eye(len(methods), dtype=bool)):
                shade = "white" if shown[i, j] > dark else "black"
                # What lies within the axes asks for no room around them.
                axes.text(j, i, f"{shown[i, j]:.1f}", ha="center", va="center", color=shade, in_layout=False)
            # Above the whole figure: the axes are as narrow as the methods are few.
            figure.suptitle(title(group.dataset, group.condition, 2.6 + size), x=0.02, ha="left", fontsize=10.5)
            figure.colorbar(image, ax=axes, shrink=0.8, label="% of queries")
        yield picture(
            figure,
            name=file_name(group.scenario, group.dataset, group.condition, "disagreement"),
            title=f"Who is right where the other is wrong on {group.dataset}",
            caption=f"{place(group.scenario, group.dataset, group.condition)}. Share of queries that the method of the "
            "row answers rightly and that of the column does not.",
            data=data,
        )


def sweeps(means: pd.DataFrame) -> Iterator[Picture]:
    """Yield accuracy against every number that a scenario varies while all else stays the same."""
    look = looks(means["method"].tolist())
    parsed = means.assign(settings=[json.loads(c) for c in means["condition"]])
    for (scenario, dataset), part in parsed.groupby(["scenario", "dataset"], sort=True):
        for key in sorted({key for settings in part["settings"] for key in settings}):
            numbers = [s.get(key) for s in part["settings"]]
            words = sorted({f"{key} {v}" for v in numbers if isinstance(v, str)})
            rows = part.assign(value=[float(v) if _is_number(v) else np.nan for v in numbers]).dropna(subset="value")
            rows = rows.assign(others=[json.dumps({k: v for k, v in s.items() if k != key}) for s in rows["settings"]])
            for number, (others, line) in enumerate(rows.groupby("others", sort=True)):
                if line["value"].nunique() < 2:
                    continue
                data = line[["method", "value", "accuracy", "accuracy_low", "accuracy_high", "seeds"]]
                data = data.sort_values(["method", "value"]).rename(columns={"value": key})
                with canvas() as (figure, (axes,)):
                    _lines(axes, data, key, look)
                    legend(figure, axes)
                    axes.set_ylabel("top-1 accuracy (%)")
                    axes.set_title(title(dataset, others), loc="left")
                yield picture(
                    figure,
                    name=slug(str(scenario), str(dataset), key, str(number) if number else "", "sweep"),
                    title=f"Accuracy against {key} on {dataset}",
                    caption=f"{place(scenario, dataset, others)}. Bands are 95 % intervals."
                    + (f" Not drawn, since it is no number: {', '.join(words)}." if words else ""),
                    data=data,
                )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _lines(axes: Axes, data: pd.DataFrame, key: str, look: dict[str, Look]) -> None:
    for method, line in data.groupby("method", sort=True):
        style = look[str(method)]
        axes.plot(
            line[key],
            100 * line["accuracy"],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash,
            label=str(method),
        )
        low, high = 100 * line["accuracy_low"], 100 * line["accuracy_high"]
        axes.fill_between(line[key], low, high, color=style.colour, alpha=0.1, linewidth=0)
    values = np.sort(data[key].unique())
    if values[0] > 0 and values[-1] / values[0] >= 16:
        axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{v:g}" for v in values])
    axes.minorticks_off()
    axes.set_xlabel(_SWEPT.get(key, key.replace("_", " ")))


def critical_difference(ranking: Ranking, scenario: str) -> Picture:
    """Return the critical-difference diagram of a ranking (Demsar, JMLR 2006, figure 1)."""
    k = len(ranking.methods)
    data = pd.DataFrame({"method": ranking.methods, "rank": ranking.ranks})
    data["critical_difference"] = ranking.critical_difference
    half = (k + 1) // 2
    with canvas(7, 1.5 + 0.27 * half + 0.13 * len(ranking.cliques)) as (figure, (axes,)):
        axes.axis("off")
        drop = 0.5 + 0.35 * len(ranking.cliques)
        axes.set_xlim(1 - 0.45 * (k - 1) - 0.2, k + 0.45 * (k - 1) + 0.2)
        axes.set_ylim(-(drop + half), 2.2)
        axes.plot([1, k], [0, 0], color="black", linewidth=1)
        for tick in range(1, k + 1):
            axes.plot([tick, tick], [0, 0.25], color="black", linewidth=1)
            axes.text(tick, 0.4, str(tick), ha="center", va="bottom")
        axes.plot([1, 1 + ranking.critical_difference], [1.5, 1.5], color="black", linewidth=2)
        axes.text(k, 1.6, "mean rank, 1 is best", ha="right", va="bottom")
        axes.text(1, 1.6, f"critical difference {ranking.critical_difference:.2f}", ha="left", va="bottom")
        for number, (name, rank) in enumerate(zip(ranking.methods, ranking.ranks, strict=True)):
            left = number < half
            y = -(drop + (number if left else k - 1 - number))
            edge = 1 - 0.1 if left else k + 0.1
            axes.plot([rank, rank, edge], [0, y, y], color="#555555", linewidth=0.9)
            label = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
            axes.text(edge, y, label + " " if left else " " + label, ha="right" if left else "left", va="center")
        for level, (first, last) in enumerate(ranking.cliques):
            y = -(0.4 + 0.35 * level)
            span = [ranking.ranks[first] - 0.04, ranking.ranks[last] + 0.04]
            axes.plot(span, [y, y], color="black", linewidth=3.5, solid_capstyle="butt")
    return picture(
        figure,
        name=slug(scenario, "critical-difference"),
        title="Ranks over data sets",
        caption=f"Mean ranks over {ranking.n} data sets, 1 is best; a bar joins what does not differ (Nemenyi, 5 %).",
        data=data,
    )
