"""Whole runs on a card: planned, written, kept, loaded and read back, with the answers of the CPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.core.dataset import Dataset
from bench.results.run_folder import read_predictions, read_records
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.options import DEFAULT_METHODS
from bench.runner.plan import Run, plan
from tests.pretend.device import pretend_cuda
from tests.pretend.recipes import parameters

PLACE = ["scenario", "method", "condition", "seed", "session"]
COUNTED = [
    *("status", "reason", "class_total", "class_correct", "n_near_duplicates", "session_kind", "branches", "notes"),
    *("support_items", "memory_items", "exemplars", "state_bytes", "memory_bytes", "exemplar_bytes"),
    *("statistics_bytes", "weights_bytes", "state_unknown_bytes", "search_recall", "search_details"),
    *("support_fingerprint", "memory_fingerprint", "queries_fingerprint"),
]
"""Columns of records that are the same wherever a run is computed."""


def planned(out: Path, data: Dataset, methods: Sequence[str], scenario: str, device: str, **options: Any) -> Run:
    brief = {f"{name}.{key}": value for name in methods for key, value in parameters(name).items()}
    options["set"] = {**brief, **options.get("set", {})}
    chosen = {"scenario": scenario, "methods": methods, "data": [data], "seeds": 1, "out": out, "device": device}
    return plan(RunConfig(**chosen, **options))


def answers(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the records and the predictions of a finished run, in the order of what was asked."""
    records = read_records(run.folder)
    named = records[["cell", "method", "condition"]].drop_duplicates()
    given = read_predictions(run.folder).merge(named, on="cell").drop(columns="cell")
    order = ["method", "condition", "session", "query"]
    return records.sort_values(PLACE, ignore_index=True), given.sort_values(order, ignore_index=True)


def on_both(
    out: Path, data: Dataset, methods: Sequence[str], scenario: str, *, tolerance: float = 1e-5, **options: Any
) -> tuple[Run, Run]:
    """Run on the CPU and on the card that ``auto`` finds, and compare records and predictions.

    ``tolerance`` is how far confidences and what methods tell of themselves may be apart.
    """
    here = planned(out / "cpu", data, methods, scenario, "cpu", **options)
    execute(here)
    with pretend_cuda():
        there = planned(out / "card", data, methods, scenario, "auto", **options)
        execute(there)
    assert (here.device, there.device) == ("cpu", "cuda")
    (one, asked), (other, asked_there) = answers(here), answers(there)
    assert (one["status"] == "ok").any()
    pd.testing.assert_frame_equal(one[PLACE + COUNTED], other[PLACE + COUNTED])
    uneven = ["confidence", "set_size"]
    pd.testing.assert_frame_equal(asked.drop(columns=uneven), asked_there.drop(columns=uneven))
    # A probability that is the threshold but for rounding may be on its other side.
    assert (asked["set_size"].fillna(-1) != asked_there["set_size"].fillna(-1)).mean() < 0.01
    pd.testing.assert_series_equal(asked["confidence"], asked_there["confidence"], atol=tolerance, rtol=1e-4)
    for first, second in zip(one["details"].dropna(), other["details"].dropna(), strict=True):
        _same_details(json.loads(first), json.loads(second), tolerance)
    return here, there


def _same_details(one: Any, other: Any, tolerance: float) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"loaded_from"}:
            _same_details(one[key], other[key], tolerance)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-4, abs=tolerance)
    else:
        assert one == other


def test_a_bare_run_takes_the_card_that_is_there(pack: Dataset, tmp_path: Path) -> None:
    """The default methods in the default scenario; what the record says of the machine is the card's name."""
    _, there = on_both(tmp_path, pack, DEFAULT_METHODS, "incremental")
    records = read_records(there.folder)
    assert set(records["method"]) == set(DEFAULT_METHODS)
    assert (records["status"] == "ok").all()
    assert all(json.loads(text)["gpu"] == "Pretend GPU" for text in records["provenance"])


def test_a_budget_in_bytes_is_met_alike(pack: Dataset, tmp_path: Path) -> None:
    """Methods that keep exemplars, items, statistics and weights; all others are in ``test_methods``."""
    methods = ["fecam", "icarl", "knn", "mml", "ranpac"]
    budget = {"incremental.budget_bytes": 6000}
    _, there = on_both(tmp_path, pack, methods, "incremental", set=budget)
    details = [json.loads(text) for text in read_records(there.folder)["details"].dropna()]
    assert any(found["carried_bytes"] > 0 for found in details)


def test_an_oracle_chooses_alike(pack: Dataset, tmp_path: Path) -> None:
    _, there = on_both(tmp_path, pack, ["knn", "visual-memory"], "supervised", oracle=["knn.k=1,4,9"])
    assert "knn(oracle:k)" in set(read_records(there.folder)["method"])


@pytest.mark.parametrize("kept_on", ["cpu", "cuda"])
def test_weights_that_were_kept_on_one_device_serve_on_both(pack: Dataset, tmp_path: Path, kept_on: str) -> None:
    methods = ["mml", "reco"]
    kept = on_both(tmp_path / "kept", pack, methods, "web-zero-shot", save_states=True)[kept_on == "cuda"]
    assert len(list((kept.folder / "states").glob("*.safetensors"))) == len(methods)
    _, there = on_both(tmp_path / "loaded", pack, methods, "web-zero-shot", load=kept.folder)
    details = [json.loads(text) for text in read_records(there.folder)["details"]]
    assert all(kept.name in found["loaded_from"] for found in details)


@pytest.mark.parametrize("search", ["hnsw:m=4:build_ef=8:ef=4:candidates=6", "sq8:candidates=6"])
def test_approximate_engines_answer_alike(pack: Dataset, tmp_path: Path, search: str) -> None:
    methods = ["knn", "mml", "rac", "reco", "visual-memory"]
    _, there = on_both(tmp_path, pack, methods, "web-zero-shot", search=search)
    records = read_records(there.folder)
    assert records["search_recall"].notna().all()


def test_the_image_tower_is_trained_alike(glyphs: Dataset, tmp_path: Path) -> None:
    """At its own small learning rate, as other convolutions are the stand-in's than the CPU library's.

    Adam's first steps go by the sign of a gradient, and that of one near zero is rounding.
    """
    methods = ["lwf", "replay", "foster", "icarl"]
    quick = {"depth": "full", "epochs": 1, "min_steps": 2, "tower_lr": 1e-5}
    full = {f"{name}.{key}": value for name in methods for key, value in quick.items()}
    settings = {"incremental.base": 5, "incremental.increment": 5, "incremental.shots": 2, "incremental.exemplars": 10}
    on_both(tmp_path, glyphs, methods, "incremental", tolerance=1e-3, set={**full, **settings})
