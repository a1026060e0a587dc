"""Which method to choose under a budget: the best that keeps it, what is tied with it, and what the next step costs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.choosing.costs import Costs, costs
from bench.reports.choosing.front import front_of
from bench.reports.metrics.definitions import METRICS
from bench.reports.records.keys import GROUP
from bench.reports.records.paired_predictions import Group
from bench.reports.statistics.estimates import Estimate
from bench.reports.statistics.paired_tests import differences, pair
from bench.reports.statistics.table_marks import Marks, shown_worse
from bench.reports.utils.text import natural
from bench.utils.errors import BenchError

UNITS = {"ms": "ms", "mib": "MiB", "labels": "labels a class"}
"""The costs that can be limited, with their units."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that may be spent; None is no limit.

    Attributes
    ----------
    ms : float or None
        Milliseconds of an answer.
    mib : float or None
        Mebibytes of state.
    labels : float or None
        Labelled images of each class.
    """

    ms: float | None = None
    mib: float | None = None
    labels: float | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if not limit >= 0 or math.isinf(limit):
                raise BenchError(f"{limit:g} {UNITS[name]} is no budget; give a number from 0 up")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that there are, by cost."""
        return {name: limit for name in UNITS if (limit := getattr(self, name)) is not None}

    def __str__(self) -> str:
        parts = [f"{limit:g} {UNITS[name]}" for name, limit in self.limits.items()]
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "no limit"


@dataclass(frozen=True, eq=False, kw_only=True)
class Option:
    """A method with what it costs and how good it is in one group."""

    method: str
    accuracy: float
    low: float
    high: float
    costs: Mapping[str, float]
    on_front: bool = False
    keeps: bool = False
    tied: bool = False

    def excess(self, budget: Budget) -> float:
        """Return how many times it takes what is allowed, of the limit it exceeds most; at most 1 keeps all."""
        return max((_times(self.costs[name], limit) for name, limit in budget.limits.items()), default=0.0)


def _times(cost: float, limit: float) -> float:
    return cost / limit if limit else (math.inf if cost else 0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """What to choose in one scenario, data set and condition.

    Attributes
    ----------
    options : tuple of Option
        All methods, best first; ``on_front`` is among those that keep the budget.
    best : Option or None
        The most accurate that keeps the budget.
    lead : Estimate or None
        By how much the best is ahead of the next that keeps the budget, paired; None without one.
    next_step : Option or None
        The method beyond the budget that is better than the best and exceeds the budget least.
    gain : Estimate or None
        By how much the next step is better, paired.
    """

    scenario: str
    dataset: str
    condition: str
    options: tuple[Option, ...]
    best: Option | None
    lead: Estimate | None = None
    next_step: Option | None = None
    gain: Estimate | None = None

    @property
    def kept(self) -> list[Option]:
        """The methods that keep the budget, best first."""
        return [option for option in self.options if option.keeps]

    @property
    def tied(self) -> list[Option]:
        """The others that are not shown to be worse than the best, best first."""
        return [option for option in self.kept if option.tied and option is not self.best]


def choices(analysis: Analysis, budget: Budget) -> tuple[list[Choice], Costs]:
    """Return the choice in each group, and all costs.

    With a limit on labels, of the conditions of one data set that are the same but for how many labels a method read,
    those with the most labels that keep it are decided.

    Raises
    ------
    BenchError
        If a cost that is limited was not measured, or no method of any group keeps the budget; the nearest is named.
    """
    known = costs(analysis)
    _require_measured(known, budget)
    predicted = {group.key: group for group in analysis.fair_groups}
    marked = analysis.marks if not budget.limits else None
    made = [_choice(key, part, predicted.get(key), budget, marked) for key, part in _groups(known.frame)]
    if budget.labels is not None:
        made = _with_most_labels(made)
    if all(one.best is None for one in made):
        raise BenchError(_none_keeps(made, budget))
    return made, known


def _groups(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    for key, part in sorted(frame.groupby(GROUP), key=lambda item: tuple(natural(str(k)) for k in item[0])):
        yield (str(key[0]), str(key[1]), str(key[2])), part


def _require_measured(known: Costs, budget: Budget) -> None:
    if budget.ms is not None and not known.timed:
        raise BenchError("answers were not timed in these runs, so none is known to be quick; run with --latency")
    for name in budget.limits:
        if known.frame[name].isna().all():
            raise BenchError(f"{UNITS[name]} were not measured in these runs; leave that limit out")


def _choice(
    key: tuple[str, str, str], part: pd.DataFrame, group: Group | None, budget: Budget, marked: Marks | None
) -> Choice:
    rows = part.sort_values(["accuracy", "ms", "method"], ascending=[False, True, True]).to_dict("records")
    options = [_option({str(k): v for k, v in row.items()}, budget) for row in rows]
    kept = [option for option in options if option.keeps]
    scenario, dataset, condition = key
    if not kept:
        return Choice(scenario=scenario, dataset=dataset, condition=condition, options=tuple(options), best=None)
    best = kept[0]
    predicted = [o.method for o in kept if group is not None and o.method in group.predictions]
    if marked is not None:
        # All methods of the group are in the running, and their tests are those of the tables.
        worse = {method for method in predicted if (*key, method, "accuracy") not in marked}
    elif group is not None and len(predicted) > 1 and best.method in predicted:
        worse = shown_worse(group, predicted, best.method, METRICS["accuracy"])
    else:
        worse = set()
    tied = {o.method for o in kept if o.method not in worse}
    on_front = _front(kept)
    options = [_with(o, on_front=o.method in on_front, tied=o.keeps and o.method in tied) for o in options]
    better = [o for o in options if not o.keeps and o.accuracy > best.accuracy]
    step = min(better, key=lambda o: (o.excess(budget), -o.accuracy), default=None)
    return Choice(
        scenario=scenario,
        dataset=dataset,
        condition=condition,
        options=tuple(options),
        best=next(o for o in options if o.method == best.method),
        lead=_difference(group, best.method, kept[1].method) if len(kept) > 1 else None,
        next_step=step,
        gain=_difference(group, step.method, best.method) if step is not None else None,
    )


def _option(row: Mapping[str, Any], budget: Budget) -> Option:
    made = Option(
        method=str(row["method"]),
        accuracy=float(row["accuracy"]),
        low=float(row["accuracy_low"]),
        high=float(row["accuracy_high"]),
        costs={name: float(row[name]) for name in UNITS},
    )
    # What was not measured is not known to keep a limit.
    keeps = all(made.costs[name] <= limit for name, limit in budget.limits.items())
    return _with(made, keeps=keeps)


def _with(option: Option, **changed: bool) -> Option:
    return Option(**{**vars(option), **changed})


def _front(kept: Sequence[Option]) -> set[str]:
    """Return the methods that no other beats in accuracy, milliseconds and bytes, of those that were measured."""
    measured = [n for n in ("ms", "mib") if not any(math.isnan(o.costs[n]) for o in kept)]
    if not measured:
        return {kept[0].method}
    table = np.array([[o.costs[name] for name in measured] for o in kept])
    marked = front_of(table, np.array([o.accuracy for o in kept]))
    return {o.method for o, on in zip(kept, marked, strict=True) if on}


def _difference(group: Group | None, a: str, b: str) -> Estimate | None:
    """Return how much better a is than b, paired; None where they have no queries in common."""
    if group is None or a not in group.predictions or b not in group.predictions:
        return None
    found, _ = pair(group, a, b)
    return differences([found], METRICS["accuracy"])[0] if found is not None else None


def _with_most_labels(made: Sequence[Choice]) -> list[Choice]:
    """Return of the conditions of one data set that differ in labels alone those with the most that keep the limit."""
    best: dict[tuple[str, str, str], list[Choice]] = {}
    for one in made:
        condition = {k: v for k, v in json.loads(one.condition).items() if k != "shots"}
        best.setdefault((one.scenario, one.dataset, json.dumps(condition, sort_keys=True)), []).append(one)
    kept = []
    for alike in best.values():
        able = [one for one in alike if one.best is not None]
        kept.append(max(able, key=_labels) if able else min(alike, key=_labels))
    return kept


def _labels(one: Choice) -> float:
    return max((o.costs["labels"] for o in (one.kept or one.options) if not math.isnan(o.costs["labels"])), default=0.0)


def _none_keeps(made: Sequence[Choice], budget: Budget) -> str:
    every = [(option.excess(budget), one, option) for one in made for option in one.options]
    known = [found for found in every if not math.isnan(found[0])]
    if not known:
        return f"no method is known to keep {budget}; leave a limit out"
    times, one, option = min(known, key=lambda found: (found[0], -found[2].accuracy))
    spent = ", ".join(f"{option.costs[name]:.3g} {UNITS[name]}" for name in budget.limits)
    allowed = f", {times:.2f} times what is allowed" if math.isfinite(times) else ""
    return f"no method keeps {budget}; the nearest is {option.method} on {one.dataset} ({spent}{allowed}): allow that"
