"""Trainings on a card: those of the CPU, the same each time, and stopped ones that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.core.registry import METHODS
from bench.device.precision import TrainingPrecision
from bench.learning.state_io import flatten
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import TrainingOptions
from bench.utils.random import Stream
from tests import toy
from tests.contract.test_methods import CLASSES, built, make
from tests.gpu.device import DEVICE, on_a_gpu
from tools.gpu.draws import trains

pytestmark = on_a_gpu

TRAINED = [name for name in METHODS.names() if trains(make(name))]


def scored(name: str, device: str, precision: TrainingPrecision) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the tensors of a trained state, and its scores."""
    options = TrainingOptions(precision=precision)
    method, state = built(name, toy.task(CLASSES).to(device), options=options)
    with torch.no_grad():
        return flatten(state)[1], method.score(state, toy.dataset().splits["test"].x.to(device))


@pytest.mark.parametrize("name", TRAINED)
def test_float32_trainings_answer_as_those_of_the_cpu(name: str) -> None:
    (_, here), (_, there) = scored(name, "cpu", "fp32"), scored(name, DEVICE, "fp32")
    torch.testing.assert_close(there.cpu().softmax(1), here.softmax(1), atol=1e-2, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", TRAINED)
def test_weights_and_scores_are_in_float32_whatever_the_loss_is_computed_in(
    name: str, precision: TrainingPrecision
) -> None:
    tensors, found = scored(name, DEVICE, precision)
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} <= {torch.float32, torch.float64}
    assert {value.device.type for value in tensors.values()} == {torch.device(DEVICE).type}
    assert found.dtype in (torch.float32, torch.float64)
    assert bool(found.isfinite().all())


class Stopped(Exception):  # noqa: N818 - it stands for an interrupt
    """A training that is stopped from outside."""


def line(folder: Path, stop_at: int | None) -> torch.Tensor:
    g = Stream(3).torch()
    x = torch.randn(40, 3, generator=g).to(DEVICE)
    y = x @ torch.tensor([1.0, -2.0, 0.5], device=DEVICE)
    w, calls = as_parameter(torch.zeros(3, device=DEVICE)), 0

    def loss(rows: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if stop_at is not None and calls > stop_at:
            raise Stopped
        at = rows.to(DEVICE)
        return ((x[at] @ w - y[at]) ** 2).mean()

    options: dict[str, Any] = {"owner": "line", "epochs": 8, "batch": 16, "cosine": True}
    options["options"] = TrainingOptions(checkpoints=folder, checkpoint_seconds=0)
    fit([w], loss, 40, optimiser=torch.optim.Adam([w], lr=0.05), rng=Stream(0).child("fit"), **options)
    return w.detach()


def test_a_stopped_training_goes_on_on_the_card(tmp_path: Path) -> None:
    whole = line(tmp_path / "whole", None)
    with pytest.raises(Stopped):
        line(tmp_path / "stopped", 13)
    again = line(tmp_path / "stopped", None)
    assert again.device.type == torch.device(DEVICE).type
    torch.testing.assert_close(again, whole, atol=1e-6, rtol=1e-5)
