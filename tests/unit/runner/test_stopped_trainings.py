"""A cell that was stopped inside a training and goes on from its checkpoint has the record of an undisturbed one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from bench.core.registry import METHODS
from bench.cost.meter import Meter, Repeats, charge_spent, metered, phase, spent_so_far
from bench.learning.checkpoint import CheckpointWriter
from bench.learning.state_io import load
from bench.results.run_folder import read_predictions, read_records
from bench.results.schema import UNSTABLE
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.plan import Run, plan
from tests import toy

SETTINGS: dict[str, dict[str, Any]] = {
    "mml": {"mml.epochs": 4, "mml.adapt_epochs": 3, "mml.lr": 0.01, "mml.k": 3},
    "reco": {"reco.epochs": 4, "reco.k": 3},
    "rac": {"rac.steps": 6, "rac.batch": 8},
    "tip-adapter-f": {"tip-adapter-f.epochs": 4},
    "clap": {"clap.epochs": 4, "clap.batch": 16},
    "cross-modal-probe": {"cross-modal-probe.steps": 6},
    "proof": {"proof.epochs": 4, "proof.batch": 16},
    "rapf": {"rapf.epochs": 6, "rapf.batch": 16},
    "real-linear": {"real-linear.steps": 6, "real-linear.batch": 16},
    **{name: {f"{name}.epochs": 3, f"{name}.min_steps": 3} for name in ("icarl", "lwf", "replay", "foster")},
}
SEEN = ("mml", "reco")
"""Those that train on seen classes, for which the scenario must have some."""


class Stopped(BaseException):
    """What no code catches, as a kill is not caught."""


def planned(out: Path, name: str, **options: Any) -> Run:
    scenario = "web-zero-shot" if name in SEEN else "incremental"
    options = {"set": SETTINGS.get(name, {}), **options}
    return plan(
        RunConfig(scenario=scenario, methods=name, data=toy.dataset(12), seeds=1, out=out, device="cpu", **options)
    )


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after each epoch."""
    monkeypatch.setattr(CheckpointWriter, "due", property(lambda self: self._path is not None))


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int | None) -> list[int]:
    """Stop whatever trains after so many steps of its optimisers; return a list that counts them."""
    taken = [0]

    def stepping(step: Any) -> Any:
        def stepped(self: Any, *arguments: Any, **named: Any) -> Any:
            if taken[0] == steps:
                raise Stopped
            taken[0] += 1
            return step(self, *arguments, **named)

        return stepped

    for optimiser in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        monkeypatch.setattr(optimiser, "step", stepping(optimiser.step))
    return taken


def stable(folder: Path) -> pd.DataFrame:
    return read_records(folder).drop(columns=list(UNSTABLE))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_training_that_was_stopped_costs_what_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = planned(tmp_path / "whole", name)
    with monkeypatch.context() as m:
        steps = stop_after(m, None)
        execute(whole)
    assert steps[0] >= 4, "too few steps to be stopped among"
    broken = planned(tmp_path / "broken", name)
    often(monkeypatch)
    kept: list[float] = []
    for stop in (steps[0] // 3, steps[0] // 4):
        with monkeypatch.context() as m:
            stop_after(m, max(stop, 1))
            with pytest.raises(Stopped):
                execute(broken)
        left = [load(path) for path in (broken.folder / "training").rglob("*.safetensors")]
        kept.append(sum(sum(one.spent.seconds.values()) for one in left))
    assert kept[0] > 0, "no checkpoint was left"
    assert sorted(kept) == kept, "seconds that were spent are forgotten"
    execute(broken)
    assert not (broken.folder / "training").exists()
    pd.testing.assert_frame_equal(stable(broken.folder), stable(whole.folder))
    pd.testing.assert_frame_equal(read_predictions(broken.folder), read_predictions(whole.folder))
    found = read_records(broken.folder)
    assert (found["train_flops"] + found["build_flops"] > 0).any()
    assert found["train_seconds"].sum() + found["build_seconds"].sum() >= kept[-1]


def test_all_methods_that_train_are_among_those_stopped() -> None:
    def trains(name: str) -> bool:
        return any(field.name == "training_options" for field in dataclasses.fields(METHODS.get(name).cls))

    trainers = {METHODS.get(name).cls.name for name in METHODS.names() if trains(name)}
    assert trainers
    assert trainers <= {METHODS.get(name).cls.name for name in SETTINGS}


def test_candidates_of_an_oracle_do_not_go_on_from_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"set": {"tip-adapter-f.epochs": 4}, "oracle": ("tip-adapter-f.lr=0.0001,0.5",)}
    plain = planned(tmp_path / "plain", "tip-adapter-f", **options)
    execute(plain)
    often(monkeypatch)
    kept = planned(tmp_path / "kept", "tip-adapter-f", **options)
    execute(kept)
    pd.testing.assert_frame_equal(stable(kept.folder), stable(plain.folder))


def test_what_is_spent_in_phases_within_phases_is_spent_once() -> None:
    a = torch.ones(8, 8)
    with metered(Meter()) as meter, phase("train"):
        _ = a @ a
        with phase("index"):
            _ = a @ a
            inside = spent_so_far()
        begun = spent_so_far()
        _ = a @ a
        after = spent_so_far()
    product = 2 * 8 * 8 * 8
    assert inside.flops["train"]["product"] == inside.flops["index"]["product"] == product
    assert after.since(begun).flops["train"]["product"] == product
    assert after.since(begun).flops["index"]["product"] == 0
    assert 0 < inside.seconds["train"] < after.seconds["train"] <= meter.seconds["train"]
    assert meter.flops["train", "product"] == 2 * product


def test_what_was_spent_before_is_charged_where_it_was_spent() -> None:
    with metered(Meter()) as first, phase("build"):
        _ = torch.ones(4, 4) @ torch.ones(4, 4)
        first.add_flops(None, None)
        spent = spent_so_far()
    with metered(Meter()) as second, phase("build"):
        charge_spent(spent)
    assert second.phase_flops("build") is None
    assert second.flops["build", "product"] == first.flops["build", "product"] > 0
    assert second.seconds["build"] >= spent.seconds["build"] > 0
    assert second.cpu_peaks.keys() == first.cpu_peaks.keys()
    charge_spent(spent)  # without a meter nobody is charged


def test_batches_are_charged_what_the_first_of_all_took_and_not_the_first_after_a_stop() -> None:
    known = {4: (7, 9)}
    with metered(Meter()) as meter, phase("build"), Repeats(known).like(4):
        _ = torch.ones(64, 64) @ torch.ones(64, 64)
    assert meter.phase_flops("build") == 7 + 9
