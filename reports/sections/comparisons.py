"""The table of paired comparisons, and its file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.reports.analysis import Analysis
from bench.reports.statistics.across_encoders import EncoderComparison
from bench.reports.statistics.estimates import ENOUGH_SEEDS, TAIL, Estimate
from bench.reports.statistics.families import ALPHA, families_in_words
from bench.reports.statistics.paired_tests import REGION, PairedComparison, as_frame
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, probability, share, without_constants
from bench.reports.utils.text import natural, populations


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield every paired comparison of two methods."""
    comparisons, _ = analysis.comparisons
    if comparisons:
        yield table(comparisons, REGION)
    yield DataFile("comparisons", as_frame(comparisons), parquet=True)
    if analysis.across_encoders:
        yield encoders_table(analysis.across_encoders)


def table(comparisons: Sequence[PairedComparison], region: float) -> Table:
    """Return every paired comparison."""
    rows = []
    for c in sorted(comparisons, key=lambda c: (c.scenario, c.dataset, natural(c.condition))):
        d = c.difference
        labels = "" if c.unequal_labels is None else f" ({c.unequal_labels[0]} against {c.unequal_labels[1]} labels)"
        kinds = "" if c.sees is None else f" (sees a {c.sees[0]} against a {c.sees[1]})"
        rows.append(
            (
                *names_of({"scenario": c.scenario, "dataset": c.dataset, "condition": c.condition}),
                Cell(c.a, c.a),
                Cell(f"{c.b}{labels}{kinds}", c.b),
                Cell(share(d.mean, d.low, d.high), float(d.mean)),
                Cell(c.verdict, c.verdict, bold=c.verdict in ("better", "worse")),
                Cell(_tail(d), float(d.p)),
                Cell(probability(c.p_holm), float(c.p_holm)),
                Cell(probability(c.p_permutation), float(c.p_permutation)),
                Cell(
                    f"{sum(p < ALPHA for p in c.p_mcnemar)} of {len(c.seeds)} seeds",
                    float(sum(p < ALPHA for p in c.p_mcnemar)),
                ),
                Cell(f"{c.superiority:.2f}", float(c.superiority)),
                Cell(str(c.seeds_needed or "-"), float((c.seeds_needed and c.seeds_needed.number) or math.inf)),
            )
        )
    head = (
        *("scenario", "data set", "condition", "a", "b", "a - b, points", "a is", "p", "p (Holm)", "p (permutation)"),
        *("McNemar p < 0.05", "P(a ahead)", "seeds needed"),
    )
    over = populations((c.scenario, c.difference.over) for c in comparisons)
    caption = (
        "Accuracy of a minus accuracy of b on the same queries and seeds, with 95 % interval. Intervals and p speak "
        f"for {over}. {_families(comparisons)} p: the level at which the interval reaches 0; below {TAIL:g} it is not "
        f"told apart with fewer than {ENOUGH_SEEDS} seeds, and Holm's correction takes the larger of it and that of "
        f"Student's t over seeds. Equivalent: the interval lies within +-{100 * region:g} points (no correction). "
        "Permutation over queries and McNemar a seed speak of these seeds; queries that are drawn together "
        "(near-duplicates, or classes) count as one in both. Seeds needed: of what is undecided with p < 0.2, for 80 % "
        "power at this very difference after Holm's correction, with 95 % limits from how well the spread of seeds is "
        "known."
    )
    return without_constants(Table("comparisons", "Paired comparisons", caption, head, tuple(rows)))


def _tail(d: Estimate) -> str:
    """Return a p-value, no closer than it is known."""
    if 1 < d.n_seeds < ENOUGH_SEEDS and d.p < TAIL:
        return f"< {TAIL:g}"
    return probability(d.p)


def _families(comparisons: Sequence[PairedComparison]) -> str:
    """Return which comparisons are corrected together."""
    families = {c.family.of: c.family for c in comparisons}
    each = "A family is" if len(families) == 1 else "Each table of one scenario, data set and condition is a family:"
    return f"{each} {families_in_words(families.values())}."


def encoders_table(comparisons: Sequence[EncoderComparison]) -> Table:
    """Return the comparisons of one method in the spaces of two encoders."""
    rows = tuple(
        (
            *names_of({"scenario": c.scenario, "dataset": c.a, "condition": c.condition}),
            Cell(c.b, c.b),
            Cell(c.method, c.method),
            Cell(share(c.difference.mean, c.difference.low, c.difference.high), c.difference.mean),
            Cell(_tail(c.difference), c.difference.p),
            Cell(probability(c.p_holm), c.p_holm, bold=c.p_holm < ALPHA),
            Cell(str(c.seeds), float(c.seeds)),
        )
        for c in comparisons
    )
    over = populations((c.scenario, c.difference.over) for c in comparisons)
    sizes = " or ".join(map(str, sorted({c.size for c in comparisons})))
    caption = (
        "Accuracy of a method on the first data set minus that on the second, which has the same images by another "
        f"encoder, paired query by query. Intervals and p speak for {over}. Holm's correction over {sizes} comparisons."
    )
    head = ("scenario", "data set", "condition", "minus", "method", "difference, points", "p", "p (Holm)", "seeds")
    return without_constants(Table("encoders", "Across encoders", caption, head, rows))
