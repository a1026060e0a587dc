"""A paper's table as a value: methods by data sets, a block for each condition, one metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.records.keys import GROUP
from bench.reports.records.oracle import ORACLE
from bench.reports.utils.text import condition_text, natural
from bench.utils.errors import BenchError, suggest

Spread = Literal["interval", "sd", "none"]
"""What stands beside a mean: its 95 % interval, the standard deviation over seeds, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One method on one data set under one condition: the mean over seeds, its 95 % bounds, spread and mark.

    ``sd`` is the standard deviation over seeds, NaN with one seed; ``mark`` is that of
    :mod:`bench.reports.statistics.table_marks`, empty for what is shown to be worse than the best.
    """

    mean: float
    low: float
    high: float
    sd: float
    seeds: int
    mark: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """One condition.

    Attributes
    ----------
    title : str
        What the condition is, in words; empty where there is one block only.
    entries : mapping
        By method and data set; what was not measured is not in it.
    over : tuple of str
        The data sets that all methods of the block have, over which means are taken; fewer than two give no mean.
    """

    title: str
    entries: Mapping[tuple[str, str], Entry]
    over: tuple[str, ...]

    def average(self, method: str) -> float:
        """Return the mean of a method over the data sets that all methods have; NaN if there are fewer than two."""
        if len(self.over) < 2 or (method, self.over[0]) not in self.entries:
            return math.nan
        return float(np.mean([self.entries[method, dataset].mean for dataset in self.over]))


@dataclass(frozen=True, eq=False, kw_only=True)
class PaperTable:
    """Methods by data sets, a block for each condition.

    Attributes
    ----------
    metric : Metric
    spread : str
        What stands beside a mean.
    methods, datasets : tuple of str
        The rows of each block and the columns, in order.
    blocks : tuple of Block
    caption : str
        What numbers, intervals and marks mean, and over what means are taken.
    """

    metric: Metric
    spread: Spread
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    blocks: tuple[Block, ...]
    caption: str

    @property
    def averaged(self) -> bool:
        """Whether any block has means over data sets."""
        return any(len(block.over) > 1 for block in self.blocks)

    @property
    def by_condition(self) -> bool:
        """Whether conditions are the columns: there is one data set, and a block for each would have one column."""
        return len(self.datasets) == 1 and len(self.blocks) > 1

    @property
    def columns(self) -> list[str]:
        """The heads of the columns of numbers, but for the mean."""
        return [block.title for block in self.blocks] if self.by_condition else list(self.datasets)

    def grid(self) -> Iterator[tuple[str, list[tuple[str, list[Entry | None], float]]]]:
        """Yield each block of rows: its title, and of each row the method, the entries by column, and the mean."""
        if self.by_condition:
            (place,) = self.datasets
            yield "", [(m, [b.entries.get((m, place)) for b in self.blocks], math.nan) for m in self.methods]
            return
        for block in self.blocks:
            present = {method for method, _ in block.entries}
            rows = [m for m in self.methods if m in present]
            yield block.title, [(m, [block.entries.get((m, d)) for d in self.datasets], block.average(m)) for m in rows]


def paper_table(
    analysis: Analysis,
    *,
    metric: str = "accuracy",
    spread: Spread = "interval",
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
) -> PaperTable:
    """Return the table of one metric.

    Parameters
    ----------
    analysis : Analysis
    metric : str
        Its name in ``bench list metrics``.
    spread : str
        ``interval``, ``sd`` (over seeds) or ``none``.
    methods, datasets : sequence of str
        Those shown, in this order; without them all, the methods by their mean, the data sets by name. Marks are
        those of all methods of the runs, whichever are shown.

    Raises
    ------
    BenchError
        If there is no such metric, method or data set, or the metric was not measured.
    """
    means = analysis.means
    shown = _metric(metric, means)
    chosen = _chosen("method", methods, analysis.methods)
    places = _chosen("data set", datasets, sorted(set(means["dataset"]), key=natural))
    means = means[means["method"].isin(chosen) & means["dataset"].isin(places) & means[metric].notna()]
    if not len(means):
        raise BenchError(f"{metric} was not measured for these methods and data sets; choose others")
    spreads = analysis.cells.groupby([*GROUP, "method"])[metric].std()
    titles = _titles(means)
    oracles = set(means.loc[means["selection"] == ORACLE, "method"])
    found: dict[str, dict[tuple[str, str], Entry]] = {title: {} for title in dict.fromkeys(titles.values())}
    for row in means.to_dict("records"):
        scenario, place, condition, method = (str(row[column]) for column in [*GROUP, "method"])
        key = (scenario, place, condition, method)
        found[titles[key[:3]]][method, place] = Entry(
            mean=float(row[metric]),
            low=float(row[f"{metric}_low"]),
            high=float(row[f"{metric}_high"]),
            sd=float(spreads.get(key, math.nan)),
            seeds=int(row["seeds"]),
            mark=analysis.marks.get((*key, metric), ""),
        )
    blocks = tuple(_block(title, entries, places) for title, entries in found.items())
    order = chosen if methods else _by_mean(chosen, blocks, shown, oracles)
    present = [place for place in places if any(place == d for block in blocks for _, d in block.entries)]
    return PaperTable(
        metric=shown,
        spread=spread,
        methods=tuple(m for m in order if any(m == name for block in blocks for name, _ in block.entries)),
        datasets=tuple(present),
        blocks=blocks,
        caption=_caption(shown, spread, blocks, present, means),
    )


def _metric(name: str, means: pd.DataFrame) -> Metric:
    known = [one.name for one in METRICS if one.head]
    if name not in known:
        raise BenchError(f"no metric {name!r}{suggest(name, known)}")
    if means[name].isna().all():
        raise BenchError(f"{name} was not measured in these runs; measured: {_measured(known, means)}")
    return METRICS[name]


def _measured(known: Sequence[str], means: pd.DataFrame) -> str:
    return ", ".join(name for name in known if means[name].notna().any())


def _chosen(kind: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in wanted:
        if name not in known:
            raise BenchError(f"no {kind} {name!r} in these runs{suggest(name, known)}")
    return list(wanted or known)


def _titles(means: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Return the title of the block of each group: what varies within a data set, and the scenario of several.

    What differs between data sets alone, such as how many sessions their classes make, tells no blocks apart.
    """
    groups = sorted(set(means[GROUP].itertuples(index=False, name=None)), key=lambda key: tuple(map(natural, key)))
    conditions = {key: json.loads(key[2]) for key in groups}
    several = len({key[0] for key in groups}) > 1
    titles = {}
    for key in groups:
        alike = [conditions[other] for other in groups if other[0] == key[0]]
        names = dict.fromkeys(name for condition in alike for name in condition)
        varying = [name for name in names if _varies(name, key[0], conditions)]
        part = {name: conditions[key][name] for name in varying if name in conditions[key]}
        words = condition_text(json.dumps(part)) if part else ""
        titles[key] = ": ".join(text for text in (key[0] if several else "", words) if text)
    return titles


def _varies(name: str, scenario: str, conditions: Mapping[tuple[str, str, str], Mapping[str, object]]) -> bool:
    """Return whether a part of the condition takes several values on one data set."""
    values: dict[str, set[str]] = {}
    for (own, dataset, _), condition in conditions.items():
        if own == scenario:
            values.setdefault(dataset, set()).add(json.dumps(condition.get(name)))
    return any(len(several) > 1 for several in values.values())


def _block(title: str, entries: Mapping[tuple[str, str], Entry], places: Sequence[str]) -> Block:
    methods = {method for method, _ in entries}
    over = tuple(place for place in places if all((method, place) in entries for method in methods))
    return Block(title=title, entries=entries, over=over)


def _by_mean(methods: Sequence[str], blocks: Sequence[Block], metric: Metric, oracles: set[str]) -> list[str]:
    """Return methods by their mean over what all have in a block, else over all they have; oracles last."""

    def key(method: str) -> tuple[bool, float, str]:
        values = [block.average(method) for block in blocks if not math.isnan(block.average(method))]
        values = values or [entry.mean for block in blocks for (m, _), entry in block.entries.items() if m == method]
        mean = float(np.mean(values)) if values else -math.inf
        return method in oracles, mean if metric.lower_is_better else -mean, method

    return sorted(methods, key=key)


def _caption(
    metric: Metric,
    spread: Spread,
    blocks: Sequence[Block],
    places: Sequence[str],
    means: pd.DataFrame,
) -> str:
    unit = " in per cent" if metric.percent else ""
    seeds = sorted(set(means["seeds"]))
    number = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = [f"{metric.head[0].upper()}{metric.head[1:]}{unit}, mean over {number} seed{'s' * (seeds != [1])}"]
    if spread == "interval":
        over = sorted(set(means["over"]) - {""})
        words[0] += " with 95 % interval" + (f", which speaks for {'; '.join(over)}" if over else "")
    elif spread == "sd":
        words[0] += " and standard deviation over seeds"
    if any(entry.mark for block in blocks for entry in block.entries.values()):
        words.append(
            f"Bold: the {'least' if metric.lower_is_better else 'largest'} mean of a column and block; \u2020: not "
            "shown to be worse than it (paired tests of all pairs of methods, Holm's correction)"
        )
    averaged = [block for block in blocks if len(block.over) > 1]
    if averaged:
        words.append("Mean: over the data sets that all methods of a block have, without a mark")
        for block in averaged:
            if set(block.over) != set(places):
                words.append(f"{block.title or 'Here'}: over {', '.join(block.over)}")
    words += [metric.meaning.rstrip(".")] if metric.meaning else []
    return ". ".join(words) + "."
