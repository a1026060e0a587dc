"""Cells of finished runs as experiment trackers show them: settings, a curve over sessions, final numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from bench.reports.analysis import Analysis
from bench.reports.metrics.cost import COSTS
from bench.reports.metrics.definitions import METRICS
from bench.reports.utils.text import condition_name, slug

_SESSION = ("accuracy", "old_accuracy", "new_accuracy", "mean_class_recall")


@dataclass(frozen=True, eq=False, kw_only=True)
class Track:
    """One cell as a tracker shows it.

    Attributes
    ----------
    name : str
        Scenario, data set, condition, method and seed, separated by slashes.
    settings : mapping of str to str
        Everything that shaped it.
    curve : list of (int, mapping)
        By session, its scores; shares, and what was not measured is left out.
    final : mapping of str to float
        Scores after the last session and costs.
    seconds : float
        When the run was made, since 1970: the same for all of a run, so that an export says nothing of itself.
    """

    name: str
    settings: Mapping[str, str]
    curve: list[tuple[int, Mapping[str, float]]]
    final: Mapping[str, float]
    seconds: float


def tracks(analysis: Analysis) -> list[Track]:
    """Return every finished cell of some runs, sorted by name."""
    by_cell = dict(list(analysis.sessions.groupby("cell")))
    first = analysis.records.drop_duplicates("cell").set_index("cell")
    created = {str(info.manifest["run"]): str(info.manifest.get("created", "")) for info in analysis.run_table.runs}
    cells = []
    for row in analysis.cells.to_dict("records"):
        facts = first.loc[row["cell"]]
        condition = condition_name(str(row["condition"]))
        parts = (row["scenario"], row["dataset"], condition, row["method"], f"seed-{row['seed']}")
        sessions = by_cell.get(row["cell"], pd.DataFrame(columns=["session", *_SESSION]))
        cells.append(
            Track(
                name="/".join(slug(str(part)) for part in parts if part),
                settings={str(k): str(v) for k, v in _settings(facts)},
                curve=[(int(s["session"]), _measured(s, _SESSION)) for s in sessions.to_dict("records")],
                final=_measured(row, [*METRICS.names(), *COSTS]),
                seconds=_seconds(created.get(str(facts["run"]), "")),
            )
        )
    return sorted(cells, key=lambda track: track.name)


def _settings(facts: pd.Series) -> Iterator[tuple[str, Any]]:
    yield "cell", facts.name
    for column in ("run", "scenario", "dataset", "encoder", "method", "method_name", "seed", "fidelity"):
        yield column, facts[column]
    yield from json.loads(facts["condition"]).items()
    for name, column in (("scenario", "scenario_params"), ("method", "method_params")):
        yield from ((f"{name}.{key}", value) for key, value in json.loads(facts[column]).items())
    provenance = json.loads(facts["provenance"]) if isinstance(facts["provenance"], str) else {}
    yield "git_commit", provenance.get("git_commit")


def _measured(row: Mapping[Any, Any], names: Sequence[str]) -> dict[str, float]:
    present = {name: row[name] for name in names if not pd.isna(row[name])}
    return {name: float(value) for name, value in present.items() if math.isfinite(float(value))}


def _seconds(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0
