"""Warnings from records: skipped and failed cells, adapted methods, oracles, approximate searches, few seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.reports.records.arrow_columns import lengths, mentions, plain
from bench.reports.records.few_shot_episodes import independent
from bench.reports.records.keys import GROUP
from bench.reports.records.missing_parts import missing_warnings
from bench.reports.records.oracle import ORACLE


def record_warnings(done: pd.DataFrame, unanswered: pd.DataFrame) -> list[str]:
    """Return what the records themselves warn of: skips, failures, adapted methods, oracle budgets, searches, seeds."""
    lines = list(unanswered_lines(unanswered))
    adapted = sorted(done.loc[done["fidelity"] == "adapted", "method"].unique())
    if adapted:
        lines.append(f"adapted, not faithful to their papers: {', '.join(adapted)} (see `bench list methods`)")
    oracles = ", ".join(sorted(done.loc[done["selection"] == ORACLE, "method"].unique()))
    if oracles:
        lines.append(f"chose hyperparameters on the queries themselves (oracle), so no fair figure: {oracles}")
    for kind, what in (("stream", "the queries before it too"), ("set", "all queries of a session together")):
        seers = ", ".join(sorted(done.loc[done["sees"] == kind, "method"].unique()))
        if seers:
            lines.append(f"looked at {what}, which methods that answer each query alone do not see: {seers}")
    over = sorted(done.loc[mentions(done["details"], '"over_budget": true'), "method"].unique())
    if over:
        lines.append(f"carried more than the budget in bytes, so not compared at equal memory: {', '.join(over)}")
    lines += missing_warnings(done)
    lines += _chosen_otherwise(done)
    lines += _approximate(done)
    lines += _tiny(done)
    groups: dict[tuple[str, ...], dict[str, tuple[int, ...]]] = {}
    for key, values in done.groupby([*GROUP, "method"], sort=True)["seed"]:
        *group, method = (str(part) for part in key)
        groups.setdefault(tuple(group), {})[method] = tuple(sorted(set(values.tolist())))
    if any(len(set(methods.values())) > 1 for methods in groups.values()):
        lines.append("methods have unequal seeds; means are over each method's own, comparisons over the shared ones")
    lines += _seed_warnings(done, groups)
    return lines


def _approximate(done: pd.DataFrame) -> Iterator[str]:
    """Yield a line an approximate search: how many of the neighbours it found at worst, and who asked it."""
    approximate = done.loc[done["search_recall"].notna(), ["search", "method", "search_recall"]]
    for search, part in approximate.groupby("search", sort=True):
        methods = ", ".join(sorted(part["method"].unique()))
        yield (
            f"neighbours were searched approximately ({search}) for {methods}: in the worst session it found "
            f"{100 * part['search_recall'].min():.4g} % of the exact ones"
        )


def _chosen_otherwise(done: pd.DataFrame) -> Iterator[str]:
    """Yield a line a reason: whose settings were not chosen on what was asked for, or not at all."""
    by = plain(done.loc[mentions(done["selected_on"], ": "), ["method", "dataset", "selected_on"]])
    for said, part in by.groupby("selected_on", sort=True):
        kind, _, why = str(said).partition(": ")
        how = "took stated settings, since none could be chosen" if kind == "none" else "chose on held-out support"
        methods, where = (", ".join(sorted(part[name].unique())) for name in ("method", "dataset"))
        yield f"{methods} on {where} {how}: {why}"


def _tiny(done: pd.DataFrame) -> Iterator[str]:
    """Yield a line a scenario and data set from which nothing can be told: a single query, or a single class."""
    asked = pd.DataFrame({"queries": done["n_queries"], "classes": lengths(done["classes"])})
    most = asked.groupby([done["scenario"], done["dataset"]], sort=True, observed=True).max()
    for place, queries, classes in most.itertuples(name=None):
        where = " on ".join(map(str, place))
        if queries == 1:
            yield f"{where} has 1 query, from which no interval and no comparison can tell anything"
        elif classes == 1:
            yield f"{where} has 1 class, so that every answer is right and all methods are equal"


def unanswered_lines(unanswered: pd.DataFrame) -> Iterator[str]:
    """Yield a line a method and reason: where it was skipped or failed, and why."""
    # A reason can name counts that differ by seed and by data set: one of them stands for all.
    reasons = plain(unanswered[["method", "reason", "dataset", "status", "error_type", "cell"]])
    raised = reasons["error_type"].notna()
    reasons.loc[raised, "reason"] = reasons["error_type"] + ": " + reasons["reason"]
    alike = reasons["reason"].str.replace(r"\d+", "#", regex=True)
    for (method, _, status), part in reasons.groupby(["method", alike, "status"], sort=True):
        where = ", ".join(sorted(part["dataset"].unique()))
        count = part["cell"].nunique()
        cells = "1 cell" if count == 1 else f"{count} cells"
        how = "was skipped" if status == "skipped" else f"{status} in {cells}"
        yield f"{method} {how} on {where}: {min(part['reason'])}"


def _seed_warnings(done: pd.DataFrame, groups: dict[tuple[str, ...], dict[str, tuple[int, ...]]]) -> list[str]:
    """Return what is to be said of too few seeds; episodes are enough of a sample, but not of trainings."""
    apart = done[done["cell"].isin(independent(done))]
    dealt = set(apart[GROUP].drop_duplicates().itertuples(index=False, name=None))
    counts, of_episodes = (
        [(method, len(s)) for key, methods in groups.items() if (key in dealt) == e for method, s in methods.items()]
        for e in (False, True)
    )
    fewest = min((n for _, n in counts), default=0)
    lines = []
    if any(n == 1 for _, n in of_episodes):
        lines.append("one seed of few-shot episodes: the interval shown is over its episodes alone")
    if fewest == 1:
        alone = sorted({method for method, n in counts if n == 1})
        whose = f" of {', '.join(alone)}" if any(n > 1 for _, n in counts) else ""
        lines.append(f"one seed{whose}: there is no interval over seeds, the interval shown is over queries alone")
    elif fewest == 2:
        lines.append("two seeds: intervals over them say little, since one number alone tells how far seeds differ")
    elif 2 < fewest < 5:
        lines.append(f"few seeds ({fewest}): intervals are wide and small differences stay undecided")
    return lines
