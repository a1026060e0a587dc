"""Timed answers: how many are asked, what is recorded, and what a report makes of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch

from bench.cost import latency as module
from bench.cost.latency import BATCHES, WARM_UP, columns, latencies, latency
from bench.reports.analysis import Analysis
from bench.runner.api import run
from bench.utils.errors import Notice
from tests import toy


def test_other_queries_are_asked_in_batches_and_the_first_calls_do_not_count() -> None:
    asked: list[torch.Tensor] = []

    def answer(part: torch.Tensor) -> None:
        # The first calls are slow, as where something is made once.
        time.sleep(0.05 if len(asked) < WARM_UP else 0.002)
        asked.append(part)

    found = latency(answer, torch.arange(10.0)[:, None], 4, seconds=0.05)
    assert found.warm_up == WARM_UP
    assert len(asked) == WARM_UP + found.repetitions
    assert asked[2].flatten().tolist() == [8, 9, 0, 1]
    assert 2 <= found.median_ms <= found.p95_ms
    assert found.median_ms < 40


def test_a_slow_method_is_asked_a_few_times_only() -> None:
    found = latency(lambda part: time.sleep(0.02), torch.ones(1, 2), 256, seconds=0.01)
    assert found.repetitions == 5


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0 * (os.cpu_count() or 1), 0.0, 0.0))
    with pytest.warns(Notice, match="machine is busy"):
        found = latencies(lambda part: None, torch.ones(3, 2), seconds=0.0)
    assert json.loads(columns(found)["answer_details"])["load"] == 100
    monkeypatch.delattr(os, "getloadavg")
    assert module.load_per_core() is None
    assert set(found) == {str(batch) for batch in BATCHES}


@pytest.mark.filterwarnings("ignore:the machine is busy")
def test_they_are_recorded_after_the_last_session_and_reported(tmp_path: Path) -> None:
    data, settings = toy.dataset(), {"incremental.increment": 5}
    frame = run("incremental", ["protonet", "knn"], data, seeds=1, set=settings, latency=True, out=tmp_path)
    last = frame["session"] == frame["session"].max()
    assert frame.loc[last, "answer_1_ms"].notna().all()
    assert frame.loc[~last, "answer_1_ms"].isna().all()
    row = frame[last].iloc[0]
    assert row["answer_1_ms"] <= row["answer_1_p95_ms"]
    assert row["answers_per_second"] == pytest.approx(256_000 / row["answer_256_ms"])
    assert (frame["processor_seconds"] > 0).all()
    means = Analysis.of([next(tmp_path.iterdir())]).means
    assert (means["answer_1_ms"] > 0).all()
    without = run("incremental", ["protonet"], data, seeds=1, set=settings)
    assert without["answer_1_ms"].isna().all()
