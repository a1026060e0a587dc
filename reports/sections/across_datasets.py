"""The tables over several data sets: means of each method, paired differences, and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.reports.analysis import Analysis
from bench.reports.statistics.across_datasets import POPULATION, AcrossDatasets
from bench.reports.statistics.families import ALPHA
from bench.reports.statistics.paired_tests import REGION
from bench.reports.statistics.ranks import Ranking, interquartile_mean
from bench.reports.statistics.skewed_t import FEW
from bench.reports.tables.table import Cell, Table, percent, probability, share
from bench.reports.utils.note import Note
from bench.reports.utils.text import slug


def section(analysis: Analysis) -> Iterator[Table | Note]:
    """Yield a table of means a scenario with several data sets, of paired differences, and of ranks."""
    results, notes = analysis.across_datasets
    for result in results:
        yield means_table(result)
        if result.differences:
            yield differences_table(result, analysis.baseline)
        if result.ranking is not None:
            yield ranks_table(result.scenario, result.ranking)
    yield from map(Note, notes)


def means_table(result: AcrossDatasets) -> Table:
    """Return mean accuracy over the data sets, with the interquartile mean and the worst data set."""
    n = len(result.accuracy)
    mean = result.accuracy.mean()
    order = sorted(range(len(result.methods)), key=lambda i: (-mean.iloc[i], result.methods[i]))
    rows = []
    for i in order:
        values = result.accuracy.iloc[:, i]
        middle = interquartile_mean(values) if n >= 4 else math.nan
        rows.append(
            (
                Cell(result.methods[i], result.methods[i]),
                Cell(share(mean.iloc[i], max(result.low[i], 0.0), min(result.high[i], 1.0)), float(mean.iloc[i])),
                Cell("-" if math.isnan(middle) else percent(middle), middle),
                Cell(percent(values.min()), float(values.min())),
            )
        )
    several = " Conditions of a data set are averaged first." if len(result.groups) > n else ""
    caption = (
        f"Mean accuracy over {n} data sets of {result.scenario}.{several} {_interval(n)} The interquartile mean (IQM) "
        "leaves out the lowest and the highest quarter."
    )
    head = ("method", "mean %", "IQM %", "worst %")
    name, title = slug("overall", result.scenario), f"Overall: {result.scenario}"
    return Table(name, title, caption, head, tuple(rows))


def _interval(n: int) -> str:
    how = (
        "Johnson's t for skewed values over data sets"
        if n >= FEW
        else f"Student's t over data sets, at 97 % since {n} are few: read it with care"
    )
    return f"The 95 % interval ({how}) speaks for {POPULATION}."


def differences_table(result: AcrossDatasets, baseline: str | None) -> Table:
    """Return the paired differences over data sets."""
    rows = []
    for d in result.differences:
        p = d.posterior
        rows.append(
            (
                Cell(d.a, d.a),
                Cell(d.b, d.b),
                Cell(share(d.mean, d.low, d.high), d.mean),
                Cell(probability(d.p), d.p),
                Cell(probability(d.p_holm), d.p_holm, bold=d.p_holm < ALPHA),
                Cell("-" if p is None else f"{p.better:.2f}", math.nan if p is None else p.better),
                Cell("-" if p is None else f"{p.equal:.2f}", math.nan if p is None else p.equal),
                Cell("-" if p is None else f"{p.worse:.2f}", math.nan if p is None else p.worse),
            )
        )
    n = len(result.accuracy)
    family = f"against {baseline}" if baseline else "all pairs"
    caption = (
        f"Accuracy of a minus accuracy of b, mean over {n} data sets, each counting once. {_interval(n)} Holm's "
        "correction "
        f"over {len(rows)} comparisons ({family}). The last three columns: posterior chance that a is better by more "
        "than "
        f"{100 * REGION:g} point, equal within that, or worse (Bayesian signed-rank test, from five data sets)."
    )
    head = ("a", "b", "a - b, points", "p", "p (Holm)", "P(a better)", "P(equal)", "P(b better)")
    name, title = slug("differences", result.scenario), f"Differences over data sets: {result.scenario}"
    return Table(name, title, caption, head, tuple(rows))


def ranks_table(scenario: str, ranking: Ranking) -> Table:
    """Return mean ranks, with the p-values of all pairs where these can decide anything."""
    pairs = ranking.wilcoxon_p
    rows = tuple(
        (
            Cell(method, method),
            Cell(f"{ranking.ranks[i]:.2f}", float(ranking.ranks[i])),
            *(
                Cell(probability(p) if j != i else "-", float(p))
                for j, p in enumerate(pairs[i] if pairs is not None else ())
            ),
        )
        for i, method in enumerate(ranking.methods)
    )
    which = (
        "The columns named after methods are Wilcoxon signed-rank p-values after Holm's correction; the least that "
        "they "
        f"can reach is {probability(ranking.least_p)}."
        if pairs is not None
        else f"{ranking.undecided[:1].upper()}{ranking.undecided[1:]}."
    )
    caption = (
        f"Over {ranking.n} data sets. Friedman p = {probability(ranking.friedman_p)}, Iman-Davenport p = "
        f"{probability(ranking.iman_davenport_p)}, Nemenyi's critical difference {ranking.critical_difference:.2f}. "
        f"{which}"
    )
    head = ("method", "rank", *(ranking.methods if pairs is not None else ()))
    return Table(slug("ranks", scenario), f"Ranks: {scenario}", caption, head, rows)
