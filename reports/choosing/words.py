"""A choice in words: one sentence for a budget, three for a report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.reports.choosing.budgets import UNITS, Budget, Choice, Option
from bench.reports.statistics.estimates import Estimate
from bench.reports.tables.table import percent, share
from bench.reports.utils.text import condition_text

_LISTED = 3
"""Methods that a sentence names before it counts the others."""


def sentence(choice: Choice, budget: Budget) -> str:
    """Return which method to choose in one group, what is as good, and what the next step costs."""
    place = _place(choice)
    best = choice.best
    if best is None:
        option = min(choice.options, key=lambda o: (o.excess(budget), -o.accuracy))
        times = option.excess(budget)
        excess = f", {times:.2f} times what is allowed" if math.isfinite(times) else ""
        return f"On {place} no method keeps {budget}; the nearest is {option.method} ({_spent(option)}{excess})."
    said = [f"On {place}, choose {best.method}: {share(best.accuracy, best.low, best.high)} % right for {_spent(best)}"]
    if choice.tied:
        verb = "are" if len(choice.tied) > 1 else "is"
        said.append(f"{_names(choice.tied)} {verb} not shown to be worse" + _cheapest(choice))
    elif len(choice.kept) > 1:
        said.append("all others that keep the budget are shown to be worse")
    if (step := choice.next_step) is not None:
        excess = f", {step.excess(budget):.2f} times what is allowed" if math.isfinite(step.excess(budget)) else ""
        gained = f"+{percent(step.accuracy - best.accuracy)}" if choice.gain is None else points(choice.gain)
        said.append(f"the next step is {step.method}, {gained} points for {_spent(step)}{excess}")
    elif budget.limits:
        said.append("no method of the run is better at any price")
    return "; ".join(said) + "."


def in_short(choices: Sequence[Choice]) -> list[str]:
    """Return three sentences on the whole of a report: which method, how sure, at which cost; none for one method."""
    decided = [choice for choice in choices if choice.best is not None and len(choice.options) > 1]
    if not decided:
        return []
    return _one(decided[0]) if len(decided) == 1 else _several(decided)


def _one(choice: Choice) -> list[str]:
    best = choice.best
    assert best is not None
    second = next(o for o in choice.kept if o is not best)
    same = math.isclose(best.accuracy, second.accuracy, abs_tol=1e-9)
    ahead = f"{percent(best.accuracy - second.accuracy)}" if choice.lead is None else points(choice.lead, sign=False)
    which = f"{best.method} has the highest accuracy, {share(best.accuracy, best.low, best.high)} %"
    which += f"; {second.method} has the same" if same else f": {ahead} points more than {second.method}, the next"
    shown = [o for o in choice.kept if o is not best and not o.tied]
    if not choice.tied:
        sure = "That it is the best is shown against every other method (paired, after Holm's correction)."
    elif shown:
        sure = (
            f"It is shown to be better than {len(shown)} of the {len(choice.kept) - 1} others (paired, after Holm's "
            f"correction); {_names(choice.tied)} {'are' if len(choice.tied) > 1 else 'is'} not shown to be worse."
        )
    else:
        sure = (
            f"That is no proof: {_names(choice.tied)} {'are' if len(choice.tied) > 1 else 'is'} not shown to be worse."
        )
    return [f"{which}.", sure, _cost(best, choice.options, choice.tied)]


def _several(choices: Sequence[Choice]) -> list[str]:
    n = len(choices)
    common = set.intersection(*({o.method for o in choice.options} for choice in choices))
    if not common:
        return [f"No method was run in all of the {n} settings, so that none is the best over all of them."]
    options = {choice: {o.method: o for o in choice.options} for choice in choices}
    means = {m: float(np.mean([options[choice][m].accuracy for choice in choices])) for m in common}
    order = sorted(common, key=lambda m: (-means[m], m))
    best = order[0]
    which = f"Over the {n} data sets and conditions {best} has the highest mean accuracy, {percent(means[best])} %"
    if order[1:]:
        which += f", {percent(means[best] - means[order[1]])} points more than {order[1]}, the next"
    first = sum(choice.best is options[choice][best] for choice in choices)
    open_too = sum(options[choice][best].tied and choice.best is not options[choice][best] for choice in choices)
    rest = n - first - open_too
    sure = f"It is the best in {first} of {n}, not shown to be worse than the best in {open_too} more"
    sure += f", and shown to be worse in {rest}." if rest else "."
    averaged = [_averaged(m, [options[choice][m] for choice in choices]) for m in order]
    return [f"{which}.", sure, _cost(averaged[0], averaged, [], "no method that was run in all of them answers sooner")]


def _averaged(method: str, options: Sequence[Option]) -> Option:
    costs = {name: float(np.mean([o.costs[name] for o in options])) for name in UNITS}
    accuracy = float(np.mean([o.accuracy for o in options]))
    return Option(method=method, accuracy=accuracy, low=math.nan, high=math.nan, costs=costs)


def _cost(
    best: Option, options: Sequence[Option], tied: Sequence[Option], none: str = "no method answers sooner"
) -> str:
    """Return what the best costs, and what the cheapest of those that are as good, or of all, costs less."""
    said = f"It takes {_spent(best)}"
    cheaper = [o for o in (tied or options) if _known(o, "ms") and o.costs["ms"] < best.costs["ms"]]
    if not cheaper:
        # Of methods that are shown to be worse one may well be quicker.
        none = "none of those as good answers sooner" if tied else none
        return f"{said}; {none}." if not math.isnan(best.costs["ms"]) else said + "."
    other = min(cheaper, key=lambda o: (o.costs["ms"], -o.accuracy))
    what = "the quickest of those as good" if tied else "the quickest"
    less = best.accuracy - other.accuracy
    return f"{said}; {other.method}, {what}, takes {_spent(other)} for {percent(less)} points less."


def _cheapest(choice: Choice) -> str:
    best = choice.best
    assert best is not None
    cheaper = [o for o in choice.tied if _known(o, "ms") and o.costs["ms"] < best.costs["ms"]]
    if not cheaper:
        return ""
    option = min(cheaper, key=lambda o: o.costs["ms"])
    return (
        f" ({option.method} takes {_spent(option)})"
        if len(choice.tied) == 1
        else (f", of which {option.method} is the quickest with {_spent(option)}")
    )


def _known(option: Option, cost: str) -> bool:
    return not math.isnan(option.costs[cost])


def points(difference: Estimate, *, sign: bool = True) -> str:
    """Return a difference in points with its interval, ``+1.2 [0.3, 2.1]``."""
    shown = percent(difference.mean)
    head = f"+{shown}" if sign and difference.mean > 0 else shown
    return f"{head} [{percent(difference.low)}, {percent(difference.high)}]"


def _spent(option: Option) -> str:
    """Return what a method costs in words, but for labels."""
    parts = [f"{option.costs[name]:.3g} {UNITS[name]}" for name in ("ms", "mib") if _known(option, name)]
    if _known(option, "labels"):
        parts.append(f"{option.costs['labels']:.3g} labels a class")
    return (
        " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "a cost that was not measured"
    )


def _place(choice: Choice) -> str:
    words = condition_text(choice.condition)
    return f"{choice.dataset} ({choice.scenario}{', ' if words else ''}{words})"


def _names(options: Sequence[Option]) -> str:
    names = [option.method for option in options[:_LISTED]]
    more = len(options) - len(names)
    if more:
        return f"{', '.join(names)} and {more} other{'s' * (more > 1)}"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
