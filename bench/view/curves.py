"""Curves: accuracy session by session, and against what a scenario varies."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from bench.reports.metrics.per_cell import scores
from bench.reports.statistics import aggregate
from bench.reports.statistics.session_intervals import session_bounds
from bench.reports.statistics.swept import swept
from bench.reports.utils.text import condition_text
from bench.utils.errors import BenchError
from bench.view.board import Board
from bench.view.leaderboard import Key, records_of


def curves_of(board: Board, key: Key) -> list[dict[str, Any]]:
    """Return the curves that a group is part of.

    Returns
    -------
    list of dict
        ``title``, ``x`` (what the axis is), ``series``: by method points of x, mean, low and high, in shares. Bounds
        are 95 % intervals, null where they are not known.
    """
    return [*_sessions(board, key), *_sweeps(board, key)]


def _sessions(board: Board, key: Key) -> list[dict[str, Any]]:
    now = board.now
    if now.table is None:
        return []
    records = records_of(now.table, key)
    if records.empty or records["session"].nunique() < 2:
        return []
    sessions = aggregate.per_session(records, scores(records))
    try:
        bounds = session_bounds([board.group(key)[1]])
    except BenchError:
        # Means do not need predictions; the page says elsewhere what is wrong with them.
        bounds = {}
    series = []
    for method, part in sessions.groupby("method", sort=True):
        means = part.groupby("session")["accuracy"].mean()
        points = [
            [session, _share(mean), *map(_share, bounds.get((*key, str(method), "accuracy", session), _NONE))]
            for session, mean in zip(means.index.astype(int).tolist(), means, strict=True)
        ]
        series.append({"method": str(method), "points": points})
    words = condition_text(key[2])
    title = f"Accuracy on all classes so far, {key[1]}" + (f", {words}" if words else "")
    return [{"title": title, "x": "session", "series": series}]


def _sweeps(board: Board, key: Key) -> list[dict[str, Any]]:
    rows = [row for other in list(board.now.rows) if other[:2] == key[:2] for row in board.now.rows[other]]
    if not rows:
        return []
    means = pd.DataFrame(
        [
            {
                **{name: row[name] for name in ("condition", "method", "seeds")},
                **dict(zip(("accuracy", "accuracy_low", "accuracy_high"), row["metrics"]["accuracy"][:3], strict=True)),
            }
            for row in rows
        ]
    )
    settings, found = json.loads(key[2]), []
    for name, _, others, _, data in swept(means):
        if json.loads(others) != {k: v for k, v in settings.items() if k != name}:
            continue
        series = [
            {
                "method": str(method),
                "points": [
                    [float(x), *map(_share, bounds)]
                    for x, *bounds in part[[name, "accuracy", "accuracy_low", "accuracy_high"]].itertuples(index=False)
                ],
            }
            for method, part in data.groupby("method", sort=True)
        ]
        words = condition_text(others)
        title = f"Accuracy against {name}, {key[1]}" + (f", {words}" if words else "")
        found.append({"title": title, "x": name.replace("_", " "), "series": series})
    return found


_NONE = (math.nan, math.nan)


def _share(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
