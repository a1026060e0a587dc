"""Mean ranks of methods over data sets, and which of them do not differ."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, render
from bench.reports.statistics.across_datasets import AcrossDatasets
from bench.reports.statistics.ranks import Ranking
from bench.reports.utils.text import slug


@figure("critical-difference", section="datasets", each=lambda analysis: analysis.across_datasets[0])
def critical_differences(analysis: Analysis, result: AcrossDatasets) -> Iterator[Figure]:
    """Yield a diagram for a scenario whose methods can be ranked."""
    if result.ranking is not None:
        yield diagram(result.ranking, result.scenario)


def diagram(ranking: Ranking, scenario: str) -> Figure:
    """Return the critical-difference diagram of a ranking (Demsar, JMLR 2006, figure 1)."""
    k = len(ranking.methods)
    data = pd.DataFrame({"method": ranking.methods, "rank": ranking.ranks})
    data["critical_difference"] = ranking.critical_difference
    half = (k + 1) // 2
    with canvas(7, 1.5 + 0.27 * half + 0.13 * len(ranking.cliques)) as (drawing, (axes,)):
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
    return render(
        drawing,
        name=slug(scenario, "critical-difference"),
        title="Ranks over data sets",
        caption=f"Mean ranks over {ranking.n} data sets, 1 is best; "
        "a bar joins what Nemenyi's test at 5 % cannot tell apart, which does not show that it is equal.",
        data=data,
    )
