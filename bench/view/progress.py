"""How far runs got, and which of their cells failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench.reports.utils.text import condition_text
from bench.results.run_json import read_manifest
from bench.utils.names import printable
from bench.view.reading import Stamps

MOST = 200
"""Failures and skipped cells that are listed of each run."""
_RECENT = 20
"""Cells that the rest is estimated from."""


def progress_of(folder: Path, tables: Sequence[pa.Table], stamps: Stamps) -> dict[str, Any]:
    """Return what a page shows of one run.

    Returns
    -------
    dict
        ``run``, ``folder``, ``planned``, ``ok``, ``skipped``, ``failed`` (cells), ``last`` (seconds since 1970 of the
        newest cell, null without one), ``left`` (seconds that the rest may take, null if that is not known),
        ``unanswered`` (a list of cells with ``status``, where they are and ``reason``), and facts of ``run.json``.
    """
    manifest = read_manifest(folder)
    counts, unanswered = _cells(tables)
    there = sum(counts.values())
    planned = max(int(manifest.get("cells") or there), there)
    times = sorted(stamp[1] / 1e9 for stamp in stamps.values())
    return {
        "run": str(manifest["run"]),
        "folder": printable(str(folder)),
        "name": printable(folder.name),
        "created": printable(str(manifest.get("created", ""))),
        "device": printable(str(manifest.get("device", ""))),
        "planned": planned,
        **{status: counts.get(status, 0) for status in ("ok", "skipped", "failed")},
        "last": times[-1] if times else None,
        "left": _left(times, planned - there),
        "unanswered": unanswered,
    }


def _cells(tables: Sequence[pa.Table]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return the number of cells of each status, and what is shown of those without answers."""
    counts: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    about = ["cell", "status", "method", "scenario", "dataset", "condition", "seed", "reason", "error_type"]
    for table in tables:
        cells = table.select(["cell", "status"]).group_by(["cell", "status"]).aggregate([])
        for entry in pc.value_counts(cells["status"].combine_chunks().cast(pa.string())).to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
        others = table.filter(pc.not_equal(table["status"].cast(pa.string()), "ok")).select(about)
        for row in others.slice(0, max(0, MOST - len(found))).to_pylist():
            shown = {key: printable(str(row[key])) for key in about if row[key] is not None}
            found.append(shown | {"condition": condition_text(str(row["condition"])), "seed": row["seed"]})
    return counts, found


def _left(times: Sequence[float], cells: int) -> float | None:
    """Return the seconds that some cells may take, at the pace of the newest; None if the run seems to stand still."""
    recent = times[-_RECENT:]
    if cells <= 0 or len(recent) < 2:
        return None
    pace = (recent[-1] - recent[0]) / (len(recent) - 1)
    return pace * cells if time.time() - recent[-1] < max(60.0, 10 * pace) else None
