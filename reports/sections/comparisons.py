"""The table of paired comparisons, and its file of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.reports.analysis import Analysis
from bench.reports.statistics.paired_tests import ALPHA, REGION, PairedComparison, as_frame
from bench.reports.tables.files import DataFile
from bench.reports.tables.table import Cell, Table, names_of, probability, share, without_constants
from bench.reports.utils.text import natural


def section(analysis: Analysis) -> Iterator[Table | DataFile]:
    """Yield every paired comparison of two methods."""
    comparisons, _ = analysis.comparisons
    if comparisons:
        yield table(comparisons, REGION)
    yield DataFile("comparisons", as_frame(comparisons), parquet=True)


def table(comparisons: Sequence[PairedComparison], region: float) -> Table:
    """Return every paired comparison."""
    rows = []
    for c in sorted(comparisons, key=lambda c: (c.scenario, c.dataset, natural(c.condition))):
        d = c.difference
        needed = "more queries" if c.seeds_needed is None else str(c.seeds_needed)
        rows.append(
            (
                *names_of({"scenario": c.scenario, "dataset": c.dataset, "condition": c.condition}),
                Cell(c.a, c.a),
                Cell(c.b, c.b),
                Cell(share(d.mean, d.low, d.high), float(d.mean)),
                Cell(c.verdict, c.verdict, bold=c.verdict in ("better", "worse")),
                Cell(probability(c.p_holm), float(c.p_holm)),
                Cell(probability(c.p_permutation), float(c.p_permutation)),
                Cell(
                    f"{sum(p < ALPHA for p in c.p_mcnemar)} of {len(c.seeds)} seeds",
                    float(sum(p < ALPHA for p in c.p_mcnemar)),
                ),
                Cell(f"{c.superiority:.2f}", float(c.superiority)),
                Cell(needed if len(c.seeds) > 1 else "-", float(c.seeds_needed or math.inf)),
            )
        )
    head = (
        *("scenario", "data set", "condition", "a", "b", "a - b, points", "a is", "p (Holm)", "p (permutation)"),
        *("McNemar p < 0.05", "P(a ahead)", "seeds needed"),
    )
    over = "both" if any(len(c.seeds) > 1 for c in comparisons) else "the queries of one seed"
    caption = (
        f"Accuracy of a minus accuracy of b on the same queries and seeds, with 95 % interval over {over}; p after "
        f"Holm's correction over all {len(comparisons)} rows. Equivalent: the interval lies within +-{100 * region:g} "
        "points. Permutation over queries and McNemar a seed speak of these seeds and new queries. Seeds needed: for "
        "80 % power at this difference."
    )
    return without_constants(Table("comparisons", "Paired comparisons", caption, head, tuple(rows)))
