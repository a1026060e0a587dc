"""Neighbour galleries: a few queries with what two methods answered them from (figures 4 and 8 of the MML paper)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import imread

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import figure
from bench.reports.figures.style import Figure, canvas, render
from bench.reports.records.class_names import short
from bench.reports.records.paired_predictions import Group
from bench.reports.records.run_info import RunInfo
from bench.reports.records.run_table import RunTable
from bench.reports.utils.class_weights import class_weights
from bench.reports.utils.note import Note
from bench.reports.utils.random import generator
from bench.reports.utils.text import condition_text, file_name
from bench.utils.errors import BenchError

if TYPE_CHECKING:
    from bench.data.thumbnails import Show
    from bench.explain.explain import Case
    from bench.explain.scene import Answer

NEIGHBOURS = 8
"""Neighbours shown of each branch."""

_LINE = 0.12
"""Inches of a line of words."""

_RIGHT, _WRONG = "#0072B2", "#D55E00"


def choose(group: Group, a: str, b: str, count: int) -> tuple[int, list[str]]:
    """Return a seed and the queries to show: those that exactly one of two methods answers rightly.

    The seed is the smallest that both ran with the same queries; of few-shot episodes it is the first episode. Of the
    queries that only a answers rightly and those that only b does, as many of each as there are, in a random order
    that depends on the group alone.
    """
    seeds = sorted(set(group.predictions[a]) & set(group.predictions[b]))
    seeds = [s for s in seeds if group.predictions[a][s].pairs_with(group.predictions[b][s])]
    if not seeds:
        return 0, []
    one, two = group.predictions[a][seeds[0]], group.predictions[b][seeds[0]]
    here = np.full(len(one.correct), True) if one.episode is None else one.episode == 0
    rng = generator("gallery", group.name)
    sides = [
        rng.permutation(np.sort(one.queries[mask & here].astype(str))).tolist()
        for mask in (one.correct & ~two.correct, two.correct & ~one.correct)
    ]
    taken: list[str] = []
    while len(taken) < count and any(sides):
        taken += [side.pop() for side in sides if side]
    return seeds[0], taken[:count]


@figure("gallery", section="evidence", each=lambda analysis: analysis.detailed_groups if analysis.galleries else [])
def neighbour_galleries(analysis: Analysis, group: Group) -> Iterator[Figure | Note]:
    """Yield galleries of a group that gets figures of its own, as many as the report was asked for.

    Shown are the two most accurate methods that can say what they answer from, at least one of which retrieves. Their
    states are made again, which takes as long as it took in the run. A note says why a group has none.
    """
    yield from galleries(analysis.run_table, [group], analysis.galleries)


def galleries(run_table: RunTable, groups: Sequence[Group], count: int) -> Iterator[Figure | Note]:
    """Yield ``count`` figures of each group, and why there are none of some."""
    for group in groups:
        try:
            yield from _of_group(run_table, group, count)
        except BenchError as reason:
            words = ", ".join(part for part in (group.dataset, condition_text(group.condition)) if part)
            yield Note(f"{group.scenario}: no gallery of {words}: {reason}")


def _of_group(run_table: RunTable, group: Group, count: int) -> list[Figure]:
    # Imported here: they import torch, and a report without galleries does not wait for it.
    from bench.data.thumbnails import thumbnails
    from bench.explain.explain import explain
    from bench.explain.replay import Which

    rows = run_table.records
    here = rows[(rows["scenario"] == group.scenario) & (rows["dataset"] == group.dataset)]
    here = here[here["condition"] == group.condition]
    run, a, b = _pair(run_table, group, here)
    seed, queries = choose(group, a, b, count)
    if not queries:
        raise BenchError(f"{a} and {b} are right on the same queries, or were asked others")
    here = here[(here["seed"] == seed) & here["method"].isin((a, b))]
    apart = next(iter(group.predictions[a].values())).episode is not None
    which = Which(
        methods=(a, b),
        seed=seed,
        session=int(here["session"].min() if apart else here["session"].max()),
        scenario=group.scenario,
        dataset=group.dataset,
        condition={k: "none" if v is None else str(v) for k, v in json.loads(group.condition).items()},
    )
    cases = explain(run.folder, queries, which)
    show = thumbnails(cases[0].data)
    return [
        draw(case, show, file_name(group.scenario, group.dataset, group.condition, f"{number}-gallery"))
        for number, case in enumerate(cases)
    ]


def _pair(run_table: RunTable, group: Group, records: pd.DataFrame) -> tuple[RunInfo, str, str]:
    """Return a run and the two methods of it to show, the more accurate first."""
    from bench.core.protocols import Explains
    from bench.core.registry import METHODS
    from bench.explain.replay import identity_of, recipe_of

    accuracy = {
        m: np.mean([run.per_query_accuracy.mean() for run in seeds.values()]) for m, seeds in group.predictions.items()
    }
    for info in run_table.runs:
        there = set(records.loc[records["run"] == str(info.manifest["run"]), "method"])
        known = {str(entry["label"]) for entry in info.manifest.get("methods", [])}
        able: list[tuple[str, bool]] = []
        for label in sorted(there & known & set(accuracy), key=lambda label: (-accuracy[label], label)):
            if identity_of(info.manifest, "methods", label)["params"].get("oracle"):
                continue
            recipe = recipe_of(info.manifest, "methods", METHODS, label).recipe
            if isinstance(recipe, Explains):
                able.append((label, recipe.about.stores_items))  # type: ignore[attr-defined]
        for first, second in combinations(able, 2):
            if first[1] or second[1]:
                return info, first[0], second[0]
    raise BenchError("it takes two methods of one run that can say what they answer from, one of which retrieves")


def draw(case: Case, show: Show, name: str) -> Figure:
    """Return one query with the neighbours that each method answered it from, and their weights."""
    lines = [(e.method, e.before, branch) for e in case.explained for branch in _branches(e.before)]
    words = [_words(case, *line) for line in lines]
    # Rows are of one height: that of a tile and of the most lines of words above and below one.
    height = 1.4 + _LINE * max(above.count("\n") + below.count("\n") + 2 for above, below in words)
    with canvas(1.15 * (NEIGHBOURS + 1), height * len(lines) + 0.5, len(lines), NEIGHBOURS + 1) as (drawing, axes):
        for row, (_, answer, branch) in enumerate(lines):
            first, *tiles = axes[row * (NEIGHBOURS + 1) : (row + 1) * (NEIGHBOURS + 1)]
            right = answer.prediction == case.label
            _tile(first, show(case.query), "query", _RIGHT if right else _WRONG)
            above, below = words[row]
            first.set_title(above, fontsize=7, loc="left")
            first.set_xlabel(below, fontsize=6.5)
            near = [n for n in (answer.evidence.neighbours if answer.evidence else ()) if n.branch == branch]
            for tile in tiles[min(len(near), NEIGHBOURS) :]:
                tile.axis("off")
            if not near:
                # Its tile is as wide as the others: what is written beyond it asks for no room.
                tiles[0].text(0, 0.5, _prototypes(case, answer), fontsize=7, va="center", in_layout=False)
            for n, tile in zip(near, tiles, strict=False):
                same = n.label == case.label
                _tile(tile, show(n.item), _name(case, n.label), _RIGHT if same else _WRONG)
                tile.set_title(_name(case, n.label), fontsize=6.5)
                tile.set_xlabel(f"weight {n.weight:.3g}\ncosine {n.similarity:.2f}", fontsize=6.5)
        drawing.suptitle(f"{case.data.name}: {case.query}", fontsize=9, x=0.01, ha="left")
    meanings = {e.method: e.before.evidence.weights for e in case.explained if e.before.evidence}
    weights = "; ".join(f"{method}: {meaning}" for method, meaning in meanings.items() if meaning)
    where = f"Query {case.query} ({case.name_of(case.label)}), session {case.session}, seed {case.seed}"
    return render(
        drawing,
        name=name,
        title=f"What {case.query} was answered from",
        caption=f"{where}, and its nearest neighbours. Blue edge: the right class, orange: another. Below each its "
        f"weight and cosine. {weights}.",
        data=_data(case),
        wide=True,
    )


def _branches(answer: Answer) -> list[str]:
    """Return the branches that retrieved, or one without name for the prototypes."""
    near = answer.evidence.neighbours if answer.evidence else ()
    return list(dict.fromkeys(n.branch for n in near)) or [""]


def _words(case: Case, method: str, answer: Answer, branch: str) -> tuple[str, str]:
    """Return what stands above and below the query: what a method answers, and whether and by what weights."""
    right = answer.prediction == case.label
    verdict = ["right"] if right else ["wrong, it is", _name(case, case.label)]
    return f"{method} answers\n{_name(case, answer.prediction)}", "\n".join([*verdict, *_sums(case, answer, branch)])


def _name(case: Case, label: int) -> str:
    return fill(short(case.name_of(label)), 14)


def _sums(case: Case, answer: Answer, branch: str) -> list[str]:
    """Return what all neighbours of a branch weigh together, a line for each of the two heaviest classes."""
    sums = class_weights(answer).get(branch, [])[:2]
    return [f"{branch} weights:", *(f"{_name(case, label)} {weight:.3g}" for label, weight in sums)] if sums else []


def _prototypes(case: Case, answer: Answer) -> str:
    lines = [
        f"{branch} prototypes: " + ", ".join(f"{short(case.name_of(label))} {cosine:.2f}" for label, cosine in near)
        for branch, near in answer.prototypes.items()
    ]
    return "\n".join(lines)


def _tile(axes: Axes, png: bytes | None, words: str, edge: str) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=edge, linewidth=2)
    if png is None:
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=6.5)
    else:
        axes.imshow(imread(io.BytesIO(png)), interpolation="nearest", cmap="gray", vmin=0, vmax=1)


def _data(case: Case) -> pd.DataFrame:
    """Return every number of a gallery, and the neighbours and prototypes that it has no room for."""
    rows = []
    for e in case.explained:
        answer = e.before
        base = {
            "query": case.query,
            "class": case.name_of(case.label),
            "method": e.method,
            "prediction": case.name_of(answer.prediction),
            "right": answer.prediction == case.label,
        }
        ranks: dict[str, int] = {}
        for n in answer.evidence.neighbours if answer.evidence else ():
            ranks[n.branch] = ranks.get(n.branch, 0) + 1
            found = {"item": n.item, "item_class": case.name_of(n.label), "cosine": n.similarity, "weight": n.weight}
            rows.append({**base, "kind": "neighbour", "branch": n.branch, "rank": ranks[n.branch], **found})
        for branch, near in answer.prototypes.items():
            for rank, (label, cosine) in enumerate(near, 1):
                found = {"item": "", "item_class": case.name_of(label), "cosine": cosine, "weight": np.nan}
                rows.append({**base, "kind": "prototype", "branch": branch, "rank": rank, **found})
    return pd.DataFrame(rows)
