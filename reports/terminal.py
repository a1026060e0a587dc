"""The table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.reports.load import GROUP
from bench.reports.style import condition_text, natural
from bench.reports.tables import HEADS, share

_HEADS = {key: HEADS[key] for key in HEADS if key not in ("top5_accuracy", "macro_f1", "calibration_error")}
"""The terminal is narrow; the page shows the rest."""


def text(means: pd.DataFrame, warnings: Sequence[str], out: Path, n_figures: int) -> str:
    """Return the report in short: a table a group, best method first, then warnings and where the files are."""
    blocks = []
    found = sorted(means.groupby(GROUP), key=lambda item: [natural(str(part)) for part in item[0]])
    for (scenario, dataset, condition), part in found:
        head = f"{scenario} · {dataset} · {condition_text(str(condition))}"
        blocks.append("\n".join([head, *_grid(part)]))
    tail = [f"warning: {warning}" for warning in warnings]
    tail.append(f"{out / 'report.html'}: the whole report; beside it summary.csv and {n_figures} figures")
    return "\n\n".join([*blocks, "\n".join(tail)])


def _grid(part: pd.DataFrame) -> list[str]:
    shown = [score for score in _HEADS if part[score].notna().any()]
    rows = [["method", *(f"{_HEADS[score]} %" for score in shown), "seeds", "seconds", "state MiB"]]
    order = part.assign(oracle=part["selection"] == "oracle")
    for row in order.sort_values(["oracle", "accuracy", "method"], ascending=[True, False, True]).to_dict("records"):
        seconds = sum(row[f"{phase}_seconds"] for phase in ("train", "build", "retrieve", "score"))
        rows.append(
            [
                str(row["method"]),
                *(share(row[s], row[f"{s}_low"], row[f"{s}_high"]) for s in shown),
                str(row["seeds"]),
                f"{seconds:.2f}",
                f"{row['state_bytes'] / 2**20:.2f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
