"""Planned runs and pretended cards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.runner.config import RunConfig
from bench.runner.parallel.work_units import WorkUnit
from bench.runner.plan import Run, plan


def cells(work: list[WorkUnit]) -> list[str]:
    return [cell for unit in work for cell in unit.cells.values()]


def planned(tmp_path: Path, **changes: Any) -> Run:
    return plan(
        RunConfig(**{"methods": ["knn", "protonet"], "data": ["digits"], "seeds": 2, "out": tmp_path, **changes})
    )


def cards(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> None:
    """Pretend that this machine has GPUs of these sizes in GiB."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    found = [SimpleNamespace(name=f"card-{size}", total_memory=size << 30) for size in sizes]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: found[number])
