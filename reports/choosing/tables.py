"""The table of a choice: every method, what it costs, and whether it keeps the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.reports.choosing.budgets import UNITS, Budget, Choice, Option
from bench.reports.tables.table import Cell, Table, names_of, share, without_constants

_HEADS = {"ms": "ms an answer", "mib": "MiB", "labels": "labels a class"}


def table(choices: Sequence[Choice], budget: Budget, ms_means: str) -> Table:
    """Return every method of every group, best first, with what speaks for and against it."""
    rows = []
    for choice in choices:
        names = names_of({"scenario": choice.scenario, "dataset": choice.dataset, "condition": choice.condition})
        for option in choice.options:
            best = choice.best is not None and option.method == choice.best.method
            numbers = [option.costs[name] for name in UNITS]
            rows.append(
                (
                    *names,
                    Cell(option.method, option.method, bold=best),
                    Cell(share(option.accuracy, option.low, option.high), option.accuracy, bold=best),
                    *(Cell("-" if math.isnan(v) else f"{v:.3g}", v) for v in numbers),
                    *(
                        Cell(text, text)
                        for text in (_verdict(choice, option, budget), "yes" if option.on_front else "")
                    ),
                )
            )
    head = (*("scenario", "data set", "condition", "method", "accuracy %"), *_HEADS.values(), "verdict", "on the front")
    caption = (
        f"Budget: {budget}. Milliseconds: {ms_means}. MiB: of the state after the last session. The front: no method "
        "that keeps the budget is both cheaper and better. Tied: not shown to be worse than the choice by the p-values "
        "of all pairs of methods that keep the budget, after Holm's correction."
    )
    return without_constants(Table("choice", "The choice", caption, head, tuple(rows)))


def _verdict(choice: Choice, option: Option, budget: Budget) -> str:
    if choice.best is not None and option.method == choice.best.method:
        return "chosen"
    if not option.keeps:
        beyond = [UNITS[n] for n, limit in budget.limits.items() if not option.costs[n] <= limit]
        return f"exceeds {', '.join(beyond)}"
    return "tied" if option.tied else "worse"


def as_frame(choices: Sequence[Choice]) -> pd.DataFrame:
    """Return one row a method and group, for a file."""
    return pd.DataFrame(
        {
            "scenario": choice.scenario,
            "dataset": choice.dataset,
            "condition": choice.condition,
            "method": option.method,
            "accuracy": option.accuracy,
            "low": option.low,
            "high": option.high,
            **option.costs,
            "keeps_budget": option.keeps,
            "on_front": option.on_front,
            "tied": option.tied,
            "chosen": choice.best is not None and option.method == choice.best.method,
        }
        for choice in choices
        for option in choice.options
    )
