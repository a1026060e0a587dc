"""What ``bench perf`` says, on measurements that are made up or tiny."""

from __future__ import annotations

import json
from itertools import count

import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.perf import measure as measuring
from bench.perf.comparisons import Comparison, Trial
from bench.perf.timing import in_turn


def test_sides_are_taken_in_turn_and_the_first_call_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = count()
    monkeypatch.setattr("bench.perf.timing.time.perf_counter", lambda: float(next(clock)))
    taken = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, "cpu", rounds=3)
    assert calls == ["a", "b"] * 4
    assert taken == {"a": 1.0, "b": 1.0}


def test_quick_sides_are_called_more_often() -> None:
    calls: list[int] = []
    in_turn({"quick": lambda: calls.append(1)}, "cpu", rounds=2, at_least=3600)
    assert len(calls) == 1 + 20


def test_the_command_prints_limits_and_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = {"ours": lambda: torch.ones(1), "theirs": lambda: torch.ones(1)}
    monkeypatch.setattr(measuring, "COMPARISONS", (Comparison("toy", "1 x 1", lambda device: Trial(sides, 0.0)),))
    monkeypatch.setattr(measuring, "in_turn", lambda sides, device: dict(zip(sides, (0.25, 0.5), strict=True)))
    monkeypatch.setattr("bench.perf.machine._SIDE", {"cpu": 16})
    monkeypatch.setattr("bench.perf.machine._COPIED", {"cpu": 1 << 16})
    told = CliRunner().invoke(main, ["perf", "--device", "cpu", "--json"])
    found = json.loads(told.stdout)
    (toy,) = found["comparisons"]
    assert (toy["ours"], toy["seconds"]["ours"], toy["times_ours"]) == ("ours", 0.25, {"theirs": 2.0})
    (limits,) = found["limits"]
    assert min(limits[name] for name in ("fp32_gflops", "bf16_gflops", "int8_gops", "copy_gb_per_second")) > 0
    assert limits["threads"] == torch.get_num_threads()
    text = CliRunner().invoke(main, ["perf", "--device", "cpu"]).stdout
    assert "toy on cpu: 1 x 1" in text
    assert "500.0 ms    2.00 x ours" in text
