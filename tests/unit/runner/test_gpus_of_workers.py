"""Which GPU each worker gets, on pretended cards."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.device import gpus
from bench.results.run_folder import Store
from bench.runner.parallel.job_spec import JobSpec
from bench.runner.parallel.scheduler import Process, process_pool
from bench.utils.errors import Notice
from tests.unit.runner.runs import cards, planned


@pytest.mark.parametrize(
    ("sizes", "visible", "expected"),
    [
        ((80, 80), None, ["0", "1", "0", "1"]),
        ((80, 80, 80), "5, 2,GPU-7", ["5", "2", "GPU-7", "5"]),
        ((80,), None, [None] * 4),
        ((), "", [None] * 4),
    ],
)
def test_workers_take_the_visible_gpus_in_turn(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], visible: str | None, expected: list[str | None]
) -> None:
    cards(monkeypatch, *sizes)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpus.share("cuda", n).get("CUDA_VISIBLE_DEVICES") for n in range(4)] == expected
    assert not gpus.share("cpu", 1)


def test_a_process_is_told_its_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards(monkeypatch, 24, 24)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    told = JobSpec({"device": "cuda"}, "r", [], 1)
    environments = []
    for number in range(3):
        process = SimpleNamespace(stdin=io.StringIO())
        Process(told, Store(tmp_path), gpus.share("cuda", number), deque([cast(Any, process)]))
        environments.append(json.loads(process.stdin.getvalue())[2])
    assert environments == [{"CUDA_VISIBLE_DEVICES": n} for n in ("0", "1", "0")]


@pytest.mark.parametrize(("sizes", "jobs", "told"), [((24, 80), 2, True), ((24, 80), 1, False), ((80, 80), 2, False)])
def test_gpus_of_different_size_are_said(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sizes: tuple[int, ...],
    jobs: int,
    told: bool,
) -> None:
    cards(monkeypatch, *sizes)
    run = dataclasses.replace(planned(tmp_path), device="cuda")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        process_pool(run, Store(tmp_path), jobs, ["run"], deque())
    texts = [str(one.message) for one in heard if issubclass(one.category, Notice)]
    assert len(texts) == told
    assert all(text.startswith("the GPUs differ (card-24 of 24 GiB, card-80 of 80 GiB)") for text in texts)
