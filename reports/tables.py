"""Tables as values, and their Markdown; the page and LaTeX draw the same values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.reports.compare import ALPHA, Comparison
from bench.reports.load import GROUP
from bench.reports.style import condition_text, natural

HEADS = {
    "accuracy": "accuracy",
    "mean_class_recall": "recall",
    "top5_accuracy": "top-5",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
    "average_incremental_accuracy": "avg inc",
    "forgetting": "forgetting",
    "backward_transfer": "bwd transfer",
}
"""Scores that are shown, with their heads; all in per cent."""

_SHORT = {
    "mean_class_recall": "Recall: mean over classes of the share of their queries that is answered rightly.",
    "average_incremental_accuracy": "Avg inc: mean over sessions of the accuracy on all classes so far.",
    "forgetting": "Forgetting: best earlier accuracy of a class minus its last, mean over classes.",
    "backward_transfer": "Bwd transfer: last accuracy of a class minus that at arrival, mean over classes.",
}
"""What short heads stand for."""

CALIBRATION = (
    "Calibration error compares accuracy with the softmax of a method's scores as the method gives them; no "
    "temperature is fitted. Cosines have a softmax that is nearly flat, votes one that is nearly certain: a large "
    "error of such a method says that its scores are no log-probabilities, not that its answers are worse."
)
"""What is to be known of that column wherever it is shown."""

PHASES = ("train", "build", "retrieve", "score")


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, what it sorts by, and whether it is set in bold."""

    text: str
    value: float | str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its file name, title, what to know about it, heads, and rows."""

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Whether a column sorts by numbers, and is set to the right."""
        return tuple(all(isinstance(r[c].value, float) for r in self.rows) for c in range(len(self.head)))


def percent(value: float) -> str:
    """Return a share in per cent with one decimal, and no minus before a zero."""
    return f"{round(100 * value, 1) + 0.0:.1f}"


def share(value: float, low: float, high: float) -> str:
    """Return a share and its bounds in per cent, ``82.3 [80.1, 84.5]``; a dash for what was not measured."""
    if math.isnan(value):
        return "-"
    return percent(value) if math.isnan(low) else f"{percent(value)} [{percent(low)}, {percent(high)}]"


def probability(p: float) -> str:
    """Return a p-value with two digits that matter, ``< 0.0001`` below that, a dash for none."""
    if math.isnan(p):
        return "-"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def scores(means: pd.DataFrame, comparisons: Sequence[Comparison]) -> Table:
    """Return the main table, best method first in each group; bold where no method is shown to be better."""
    beaten = {(*_group(c), c.b) for c in comparisons if c.verdict == "better"}
    beaten |= {(*_group(c), c.a) for c in comparisons if c.verdict == "worse"}
    shown = [score for score in HEADS if means[score].notna().any()]
    rows = []
    for row in ordered(means):
        key = tuple(str(row[column]) for column in [*GROUP, "method"])
        fair = key not in beaten and row["selection"] != "oracle"
        rows.append(
            (
                *names_of(row),
                Cell(str(row["method"]), str(row["method"]), bold=fair),
                *(
                    Cell(
                        share(row[s], row[f"{s}_low"], row[f"{s}_high"]),
                        float(row[s]),
                        s == "accuracy" and fair,
                    )
                    for s in shown
                ),
                Cell(str(row["seeds"]), float(row["seeds"])),
                _queries(row["n_queries"]),
            )
        )
    head = ("scenario", "data set", "condition", "method", *(f"{HEADS[s]} %" for s in shown), "seeds", "queries")
    intervals = (
        "Mean over seeds with 95 % intervals: over seeds and queries, for forgetting and backward transfer over seeds "
        "alone."
        if (means["seeds"] > 1).any()
        else "One seed: 95 % intervals are over its queries (or episodes) alone, and there is none over seeds."
    )
    caption = (
        f"{intervals} Bold: no other method is shown to be better in accuracy. An oracle chose on "
        "the queries themselves: it is an upper bound, stands last and is compared with no other."
    )
    caption += "".join(f" {text}" for score, text in _SHORT.items() if score in shown)
    if "calibration_error" in shown:
        caption += f" {CALIBRATION}"
    return without_constants(Table("scores", "Scores", caption, head, tuple(rows)))


def _queries(number: int | str) -> Cell:
    """Return how many queries a method had: seeds with queries of their own can have unequal numbers."""
    each = sorted(map(int, str(number).split("/")))
    return Cell(str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}", float(each[0]))


def comparisons_table(found: Sequence[Comparison], region: float) -> Table:
    """Return every paired comparison."""
    rows = []
    for c in sorted(found, key=lambda c: (c.scenario, c.dataset, natural(c.condition))):
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
    over = "both" if any(len(c.seeds) > 1 for c in found) else "the queries of one seed"
    caption = (
        f"Accuracy of a minus accuracy of b on the same queries and seeds, with 95 % interval over {over}; p after "
        f"Holm's correction over all {len(found)} rows. Equivalent: the interval lies within +-{100 * region:g} "
        "points. Permutation over queries and McNemar a seed speak of these seeds and new queries. Seeds needed: for "
        "80 % power at this difference."
    )
    return without_constants(Table("comparisons", "Paired comparisons", caption, head, tuple(rows)))


def without_constants(table: Table) -> Table:
    """Return the table with what its first three columns say in all rows moved to the caption.

    A column that is the same in all rows goes; of conditions that differ, the parts that all have in common go.
    """
    if not table.rows:
        return table
    same = [c for c in range(3) if len({row[c].text for row in table.rows}) == 1]
    said = [f"{table.head[c]} {table.rows[0][c].text}" for c in same]
    rows = table.rows
    if (c := table.head.index("condition") if "condition" in table.head[:3] else None) not in (None, *same):
        assert c is not None
        common = set.intersection(*(set(row[c].text.split(", ")) for row in rows))
        parts = [part for part in rows[0][c].text.split(", ") if part in common]
        said += [f"condition {', '.join(parts)}"] if parts else []
        rows = tuple(_less(row, c, common) for row in rows)
    if not said:
        return table
    keep = [c for c in range(len(table.head)) if c not in same]
    return Table(
        table.name,
        table.title,
        f"{table.caption} All rows: {', '.join(said)}.",
        tuple(table.head[c] for c in keep),
        tuple(tuple(row[c] for c in keep) for row in rows),
    )


def _less(row: tuple[Cell, ...], column: int, common: set[str]) -> tuple[Cell, ...]:
    text = ", ".join(part for part in row[column].text.split(", ") if part not in common) or "-"
    return tuple(Cell(text, text, cell.bold) if c == column else cell for c, cell in enumerate(row))


def ordered(means: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows by group, best accuracy first, oracles last."""
    table = means.assign(order=means["condition"].map(natural), oracle=means.get("selection", "") == "oracle")
    keys = ["scenario", "dataset", "order", "oracle", "accuracy", "method"]
    table = table.sort_values(keys, ascending=[True, True, True, True, False, True])
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _group(c: Comparison) -> tuple[str, str, str]:
    return c.scenario, c.dataset, c.condition


def names_of(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells that say what a row is about."""
    words = condition_text(str(row["condition"]))
    texts = (str(row["scenario"]), str(row["dataset"]), words)
    return tuple(Cell(text, text) for text in texts)


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rule = ["---:" if right else "---" for right in table.numeric]
    lines = [f"## {table.title}", "", table.caption, "", _line(table.head), _line(rule)]
    lines += [_line([f"**{c.text}**" if c.bold else c.text for c in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
