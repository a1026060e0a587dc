"""Paired comparisons of two methods on the same seeds and queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from bench.reports.forms.intervals import Kind
from bench.reports.forms.limits import mcnemar
from bench.reports.metrics.definitions import METRICS, Metric
from bench.reports.metrics.influence import Influence
from bench.reports.records.paired_predictions import Group, PairedPredictions
from bench.reports.records.sees import seen_by
from bench.reports.statistics.designs import design_of
from bench.reports.statistics.estimates import Design, Estimate, Floats, estimates
from bench.reports.statistics.families import ALPHA, Family, family, holm
from bench.reports.statistics.seeds_needed import SeedsNeeded, seeds_needed
from bench.reports.utils.random import generator

REGION = 0.01
"""Half-width of the region of practical equivalence: differences below one point of accuracy are no difference."""

_FLIPS = 10_000

LabelsSeen = Mapping[tuple[str, str, str, str], int]
"""By scenario, data set, condition and method: how many labels of the target classes the method saw."""


@dataclass(frozen=True)
class PairedComparison:
    """Method ``a`` against method ``b`` in one group; differences are accuracy of a minus accuracy of b.

    Attributes
    ----------
    difference : Estimate
        Mean difference with its 95 % interval and p-value.
    p_holm : float
        The p-value after Holm's correction over the family.
    family : Family
        The comparisons that are corrected together.
    p_permutation : float
        Sign-flip permutation over queries: about these seeds and new queries, not about new seeds.
    p_mcnemar : tuple of float
        Exact McNemar p-value of each seed; where queries are drawn together (near-duplicates, classes, episodes), the
        sign test over what is drawn, which is the same formula.
    superiority : float
        Share of seeds in which a is ahead, a tie counting half (Bouthillier et al., MLSys 2021, arXiv:2103.03098).
    verdict : str
        ``better``, ``worse``, ``equivalent`` or ``undecided``.
    seeds_needed : SeedsNeeded or None
        Only of what is undecided and shows a difference.
    unequal_labels : tuple of int or None
        How many labels of the target classes a and b saw, where the numbers differ.
    sees : tuple of str or None
        What a and b look at when they answer a query, where that differs.
    """

    scenario: str
    dataset: str
    condition: str
    a: str
    b: str
    seeds: tuple[int, ...]
    difference: Estimate
    family: Family
    p_permutation: float
    p_mcnemar: tuple[float, ...]
    superiority: float
    p_holm: float = float("nan")
    verdict: str = "undecided"
    seeds_needed: SeedsNeeded | None = None
    unequal_labels: tuple[int, int] | None = None
    sees: tuple[str, str] | None = None


_NAMED = 2
"""Groups that a note names before it counts the others."""


def paired_comparisons(
    groups: Iterable[Group],
    *,
    region: float = REGION,
    baseline: str | None = None,
    labels_seen: LabelsSeen | None = None,
    unequal: bool = False,
) -> tuple[list[PairedComparison], list[str]]:
    """Return the comparisons of every group, each group a family, and what could not be compared and why.

    Parameters
    ----------
    groups : iterable of Group
    region : float
        Half-width of the region of equivalence.
    baseline : str, optional
        The method that all others are compared with; all pairs are compared without it.
    labels_seen : mapping, optional
    unequal : bool
        Whether methods that saw different numbers of labels are compared.
    """
    comparisons: list[PairedComparison] = []
    notes: list[str] = []
    without_baseline: list[str] = []
    apart: dict[tuple[int, int, str], list[str]] = {}
    for group in groups:
        pairs = list(combinations(sorted(group.predictions), 2))
        if baseline is not None:
            pairs = [(method, baseline) for method in sorted(group.predictions) if method != baseline]
            if baseline not in group.predictions and pairs:
                without_baseline.append(_place(group))
                continue
        allowed: list[tuple[str, str, tuple[int, int] | None]] = []
        left_out: list[tuple[str, str, tuple[int, int] | None]] = []
        for a, b in pairs:
            seen = _unequal(group, a, b, labels_seen or {})
            (allowed if seen is None or unequal else left_out).append((a, b, seen))
        if left_out:
            counts = {name: n for a, b, seen in left_out if seen for name, n in zip((a, b), seen, strict=True)}
            apart.setdefault((len(left_out), len(pairs), _listed(counts)), []).append(_place(group))
        found, said = _compare(group, allowed, baseline, region)
        comparisons += found
        notes += said
    if without_baseline:
        places = ", ".join(dict.fromkeys(without_baseline))
        notes.append(f"the baseline {baseline} has no predictions in {places}: nothing is compared there")
    # Groups of one data set say the same where its conditions do.
    unequal_notes = [
        f"{some} of {all_} pairs of methods are not compared in {_places(places)}, since they saw different numbers of "
        f"labels of the target classes ({listed}); `--compare-unequal-labels` compares them, marked"
        for (some, all_, listed), places in apart.items()
    ]
    return comparisons, list(dict.fromkeys([*unequal_notes, *notes]))


def _place(group: Group) -> str:
    return f"{group.scenario} on {group.dataset}"


def _places(places: Sequence[str]) -> str:
    """Return places for a sentence: the first two, and how many more there are."""
    unique = list(dict.fromkeys(places))
    if len(unique) <= _NAMED:
        return " and ".join(unique)
    return f"{', '.join(unique[:_NAMED])} and {len(unique) - _NAMED} more groups"


def _listed(counts: Mapping[str, int]) -> str:
    """Return the methods by the number of labels that they saw, fewest first."""
    numbers = sorted(set(counts.values()))
    named = {number: ", ".join(sorted(name for name, n in counts.items() if n == number)) for number in numbers}
    return "; ".join(f"{names}: {number}" for number, names in named.items())


def _unequal(group: Group, a: str, b: str, labels_seen: LabelsSeen) -> tuple[int, int] | None:
    one, two = (labels_seen.get((*group.key, method)) for method in (a, b))
    return (one, two) if one is not None and two is not None and one != two else None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two methods on the seeds in which both have the same queries."""

    a: str
    b: str
    seeds: tuple[int, ...]
    runs: tuple[tuple[PairedPredictions, PairedPredictions], ...]


def pair(group: Group, a: str, b: str) -> tuple[Pair | None, int]:
    """Return two methods of a group on the seeds they can be paired in, and how many seeds they cannot."""
    one, two = group.predictions[a], group.predictions[b]
    common = sorted(set(one) & set(two))
    seeds = tuple(s for s in common if one[s].pairs_with(two[s]))
    found = Pair(a, b, seeds, tuple((one[s], two[s]) for s in seeds)) if seeds else None
    return found, len(common) - len(seeds)


def differences(pairs: Sequence[Pair], metric: Metric) -> list[Estimate | None]:
    """Return the difference of a metric for each pair, a minus b; None where a run has no influence on it.

    Pairs of one design are computed together.
    """
    known: dict[int, Influence | None] = {}

    def influence(run: PairedPredictions) -> Influence | None:
        if id(run) not in known:
            known[id(run)] = metric.influence_on(run)
        return known[id(run)]

    kind: Kind = "mean" if metric.kind == "mean" else "difference"
    by_design: dict[tuple[tuple[int, ...], Design], list[tuple[int, list[Influence]]]] = {}
    designs: dict[tuple[int, ...], Design] = {}
    for number, one in enumerate(pairs):
        samples = [(influence(x), influence(y)) for x, y in one.runs]
        if any(x is None or y is None for x, y in samples):
            continue
        key = tuple(id(x.queries) for x, _ in one.runs)
        if key not in designs:
            designs[key] = design_of([x for x, _ in one.runs])
        apart = [x.minus(y) for x, y in samples if x is not None and y is not None]
        by_design.setdefault((one.seeds, designs[key]), []).append((number, apart))
    found: list[Estimate | None] = [None] * len(pairs)
    for (_, design), members in by_design.items():
        for (number, _), result in zip(members, estimates([s for _, s in members], design, kind), strict=True):
            found[number] = result
    return found


def _compare(
    group: Group, pairs: Sequence[tuple[str, str, tuple[int, int] | None]], baseline: str | None, region: float
) -> tuple[list[PairedComparison], list[str]]:
    """Return the comparisons of one group, corrected together."""
    notes, whole = [], []
    for a, b, seen in pairs:
        found, left = pair(group, a, b)
        if left:
            notes.append(
                f"{a} and {b} on {group.dataset} had different queries in {left} seeds, which are left out of their "
                "comparison"
            )
        if found is not None:
            whole.append((found, seen))
    estimated = differences([found for found, _ in whole], METRICS["accuracy"])
    rows = [(p, seen, d) for (p, seen), d in zip(whole, estimated, strict=True) if d is not None]
    together = family(group.key, baseline, [d for *_, d in rows])
    corrected = holm([d.p_holm_input for *_, d in rows])
    return [
        _comparison(group, p, d, together, float(corrected[i]), seen, region) for i, (p, seen, d) in enumerate(rows)
    ], notes


def _comparison(
    group: Group,
    pair: Pair,
    difference: Estimate,
    family: Family,
    p_holm: float,
    unequal: tuple[int, int] | None,
    region: float,
) -> PairedComparison:
    apart = [x.per_query_accuracy.astype(np.float64) - y.per_query_accuracy for x, y in pair.runs]
    # Queries that are drawn together (near-duplicates, or the queries of a class) change sign together.
    drawn = [
        d if x.clusters is None else np.asarray(np.bincount(x.clusters, d), dtype=np.float64)
        for d, (x, _) in zip(apart, pair.runs, strict=True)
    ]
    shared = design_of([x for x, _ in pair.runs]).shared
    made = PairedComparison(
        scenario=group.scenario,
        dataset=group.dataset,
        condition=group.condition,
        a=pair.a,
        b=pair.b,
        seeds=pair.seeds,
        difference=difference,
        family=family,
        p_permutation=permutation(drawn, shared=shared, purpose=f"{group.name}|{pair.a}|{pair.b}"),
        p_mcnemar=tuple(float(mcnemar(float((d > 0).sum()), float((d < 0).sum()))) for d in drawn),
        superiority=float((np.sign([d.mean() for d in apart]) + 1).mean() / 2),
        p_holm=p_holm,
        unequal_labels=unequal,
    )
    sees = seen_by(pair.a), seen_by(pair.b)
    made = replace(made, verdict=verdict(made, region), sees=sees if sees[0] != sees[1] else None)
    # What Holm's correction leaves of 5 % to this comparison.
    level = ALPHA * min(1.0, difference.p_holm_input / p_holm) if p_holm > 0 else ALPHA
    return replace(made, seeds_needed=seeds_needed(difference, level) if made.verdict == "undecided" else None)


def verdict(comparison: PairedComparison, region: float) -> str:
    """Return what the interval and the corrected p-value allow to say.

    ``equivalent`` if the whole 95 % interval lies within +- region (two one-sided tests at 2.5 %; Schuirmann 1987),
    which few queries cannot show since the interval is no narrower than what they could have missed; else ``better`` or
    ``worse`` if the corrected p-value is below 5 %; else ``undecided``.
    """
    d = comparison.difference
    if d.low > -region and d.high < region:
        return "equivalent"
    if comparison.p_holm < ALPHA:
        return "better" if d.mean > 0 else "worse"
    return "undecided"


def as_frame(comparisons: Iterable[PairedComparison]) -> pd.DataFrame:
    """Return the rows of ``comparisons.csv``."""
    columns = [
        *("scenario", "dataset", "condition", "a", "b", "seeds", "queries", "difference", "low", "high", "over", "p"),
        *("p_holm", "family", "family_size", "p_permutation", "p_mcnemar", "superiority", "verdict"),
        *("seeds_needed", "seeds_needed_low", "seeds_needed_high", "labels_seen_a", "labels_seen_b"),
        *("sees_a", "sees_b"),
    ]
    rows = []
    for c in comparisons:
        d, needed = c.difference, c.seeds_needed
        rows.append(
            (
                *(c.scenario, c.dataset, c.condition, c.a, c.b, " ".join(map(str, c.seeds)), d.n_units),
                *(d.mean, d.low, d.high, d.over, d.p, c.p_holm, c.family.baseline or "all pairs", c.family.size),
                *(c.p_permutation, " ".join(f"{p:.6g}" for p in c.p_mcnemar), c.superiority, c.verdict),
                *((needed.number, needed.low, needed.high) if needed else (None, None, None)),
                *(c.unequal_labels or (None, None)),
                *(seen_by(c.a), seen_by(c.b)),
            )
        )
    whole = [name for name in columns if name.startswith(("seeds_needed", "labels_seen"))]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(whole, "Int64"))


def permutation(differences: Sequence[Floats], *, shared: bool, purpose: str) -> float:
    """Return the two-sided sign-flip permutation p-value, 10,000 flips; the sign of a query flips in all its seeds.

    (1 + number of flips at least as far from 0) / (1 + flips); Phipson and Smyth, 2010, arXiv:1603.05766.
    """
    sums = np.stack(differences).sum(0) if shared else np.concatenate(differences)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    # A sum of n flipped values of size v is v (2 X - n) with X binomial(n, 1/2): no flip is drawn on its own.
    drawn = generator("permutation", purpose).binomial(counts, 0.5, (_FLIPS, len(counts)))
    flipped = np.abs((2 * drawn - counts) @ sizes)
    return float((1 + (flipped >= abs(sums.sum()) - 1e-9).sum()) / (1 + _FLIPS))
