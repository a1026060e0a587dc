"""Whole runs on a card: records with its peaks and name, the same each time, explained there."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

import bench
from bench.cost.meter import Meter, metered, phase
from bench.explain.explain import explain
from bench.explain.replay import Which
from tests.gpu.device import DEVICE, needs_cuda, on_a_gpu

pytestmark = on_a_gpu

NETS = ["icarl", "lwf", "replay", "foster"]
METHODS = ["knn", "protonet", "slda", "linear-probe", "visual-memory", "tip-adapter-f", "mml", *NETS]
BRIEF = {"incremental.increment": 5, "mml.adapt_epochs": 2, "tip-adapter-f.epochs": 2}
BRIEF |= {f"{net}.{key}": value for net in NETS for key, value in (("epochs", 2), ("min_steps", 4))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    bench.run("incremental", METHODS, "digits", 1, set=BRIEF, out=out, device=DEVICE)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def records(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "records")


def test_a_run_answers_as_on_the_cpu(records: pd.DataFrame) -> None:
    here = bench.run("incremental", METHODS, "digits", 1, set=BRIEF, device="cpu").frame
    assert set(records["status"]) == {"ok"}
    key = ["method", "session"]
    expected = here.set_index(key)["n_correct"].rename("expected")
    both = records.set_index(key)[["n_correct", "n_queries"]].join(expected, how="outer")
    apart = (both["n_correct"] - both["expected"]).abs() / both["n_queries"]
    assert apart.max() <= 0.01, both[apart > 0.01]


def test_a_run_on_a_card_is_the_same_each_time(folder: Path, records: pd.DataFrame) -> None:
    again = bench.run("incremental", METHODS, "digits", 1, set=BRIEF, device=DEVICE).frame
    key = ["method", "session"]
    assert records.set_index(key)["n_correct"].to_dict() == again.set_index(key)["n_correct"].to_dict()


@needs_cuda
def test_records_hold_the_peaks_of_the_card_and_its_name(records: pd.DataFrame) -> None:
    assert (records["build_peak_gpu_bytes"] > 0).all()
    assert (records["score_peak_gpu_bytes"] > 0).all()
    told = [json.loads(text) for text in records["provenance"]]
    assert {one["gpu"] for one in told} == {torch.cuda.get_device_name(0)}
    assert {one["device"] for one in told} == {"cuda"}


@needs_cuda
def test_a_peak_is_what_was_allocated_in_its_phase() -> None:
    meter, size = Meter(), 64 << 20
    base = torch.cuda.memory_allocated()
    with metered(meter):
        with phase("build"):
            held = torch.zeros(size, dtype=torch.uint8, device=DEVICE)
        with phase("score"):
            torch.zeros(size // 4, dtype=torch.uint8, device=DEVICE)
    found = meter.columns()
    assert found["build_peak_gpu_bytes"] == base + len(held)
    assert found["score_peak_gpu_bytes"] == base + len(held) + size // 4
    assert found["train_peak_gpu_bytes"] is None


def test_an_answer_is_explained_on_the_card(folder: Path) -> None:
    predictions = pd.read_parquet(folder / "predictions")
    query = str(predictions.query("session == 1")["query"].iloc[7])
    (here,) = explain(folder, query, Which(methods=("knn", "protonet")), device="cpu")
    (there,) = explain(folder, query, Which(methods=("knn", "protonet")), device=DEVICE)
    assert [one.before.prediction for one in there.explained] == [one.before.prediction for one in here.explained]
    assert [one.before.prediction for one in there.explained] == [one.recorded for one in there.explained]
    for one, other in zip(here.explained, there.explained, strict=True):
        assert other.before.confidence == pytest.approx(one.before.confidence, abs=1e-3)
