"""The whole few-shot table by the runner: every method that can, every shot count, on the CPU and on the device."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bench.core.dataset import Dataset
from bench.core.registry import METHODS
from bench.cost.meter import PHASES
from bench.data.glyphs.dataset import Size
from bench.runner.api import run
from bench.utils.errors import BenchError
from tools.gpu.draws import FEW, glyphs
from tools.gpu.running import reason_of
from tools.gpu.section import Cell, Deadline, Row

SHOTS = (1, 2, 4, 8)
DIFFERENT = 0.02
"""How far an accuracy on the device may be from that on the CPU: two of a hundred queries."""


def rows(
    device: str,
    deadline: Deadline,
    *,
    names: Sequence[str] | None = None,
    size: Size = FEW,
    shots: Sequence[int] = SHOTS,
) -> Iterator[Row]:
    """Yield a row a method: accuracy by shot count, and the seconds of all counts on both devices.

    The CPU's part is left out once half of the time is over, so that the table itself is whole.
    """
    dataset, settings = glyphs(size), {"few-to-many-shot.shots": list(shots)}
    half = Deadline(deadline.left / 2, deadline.now)
    for name in deadline.each(METHODS.names() if names is None else list(names)):
        if isinstance(name, Row):
            yield name
            return
        try:
            there = _records(name, dataset, settings, device)
            here = None if half.passed else _records(name, dataset, settings, "cpu")
        except Exception as error:
            yield Row({"method": name}, f"{name}: {reason_of(error)}")
            continue
        yield _row(name, there, here, shots)


def _records(name: str, dataset: Dataset, settings: dict[str, Any], device: str) -> pd.DataFrame:
    return run("few-to-many-shot", [name], dataset, 1, set=settings, device=device)


def _row(name: str, there: pd.DataFrame, here: pd.DataFrame | None, shots: Sequence[int]) -> Row:
    if set(there["status"]) == {"skipped"}:
        return Row({"method": name, "remark": there["reason"].iloc[0]})
    accuracy = _accuracy(there)
    if len(accuracy) != len(shots):
        raise BenchError(f"{name} has {len(accuracy)} records for {len(shots)} shot counts")
    cells: dict[str, Cell] = {"method": name}
    cells |= {f"{k} shots, %": 100 * value for k, value in zip(shots, accuracy, strict=True)}
    cells |= {"seconds": _seconds(there), "seconds on the CPU": None, "largest difference, %": None}
    problem = ""
    if here is not None:
        apart = max(abs(a - b) for a, b in zip(accuracy, _accuracy(here), strict=True))
        cells |= {"seconds on the CPU": _seconds(here), "largest difference, %": 100 * apart}
        problem = f"{name}: accuracy differs by {100 * apart:.1f} % from the CPU's" if apart > DIFFERENT else ""
    return Row({**cells, "remark": ""}, problem)


def _accuracy(records: pd.DataFrame) -> list[float]:
    """Return the share of right answers of each condition, in the order of the shot counts."""
    found = records.assign(shots=records["condition"].map(_shots)).sort_values("shots")
    return [float(right) / float(asked) for right, asked in zip(found["n_correct"], found["n_queries"], strict=True)]


def _shots(condition: str) -> int:
    return int(json.loads(condition)["shots"])


def _seconds(records: pd.DataFrame) -> float:
    return float(records[[f"{phase}_seconds" for phase in PHASES]].sum().sum())
