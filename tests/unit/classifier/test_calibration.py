"""Calibrated probabilities on scores whose true probabilities are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench import Classifier
from bench.classifier.calibration import calibrate, probabilities
from bench.classifier.model import _held_out
from bench.core.features import Features
from bench.core.task import Episode, Session
from bench.runner.calibration import _count
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests import toy


def drawn(n: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn from softmax(logits), and scores that are the logits times a scale."""
    rng = Stream(0).child("calibration").numpy()
    logits = torch.from_numpy(rng.standard_normal((n, 5)) * 2)
    p = logits.softmax(1).numpy()
    labels = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    return logits * scale, torch.from_numpy(labels)


@pytest.mark.parametrize("scale", [1e-4, 0.02, 1.0, 100.0, 1e6])
def test_it_finds_the_scale_of_the_scores(scale: float) -> None:
    scores, labels = drawn(4000, scale)
    assert calibrate(scores, labels).temperature == pytest.approx(scale, rel=0.08)


def test_the_confidence_is_the_share_of_right_answers() -> None:
    scores, labels = drawn(8000, 50.0)
    found = calibrate(scores[:4000], labels[:4000])
    p = probabilities(scores[4000:], found.temperature)
    confidence, best = p.max(1)
    right = (best == labels[4000:]).double()
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        here = (confidence >= low) & (confidence < high)
        assert float(right[here].mean()) == pytest.approx(float(confidence[here].mean()), abs=0.05)


def test_a_few_right_answers_do_not_make_it_certain() -> None:
    scores, labels = torch.eye(3).repeat(2, 1), torch.arange(3).repeat(2)
    found = calibrate(scores, labels)
    assert float(probabilities(scores, found.temperature)[0, 0]) == pytest.approx(7 / 8, abs=1e-3)
    assert found.curve[0] == (0.0, 6, 6)


@pytest.mark.parametrize(
    "scores",
    [
        torch.zeros(4, 3),
        torch.full((4, 3), -torch.inf),
        torch.tensor([[1.0, -torch.inf, 0.0]] * 4),
        torch.tensor([[1e30, -1e30, 0.0]] * 4),
        torch.zeros(0, 3),
    ],
)
def test_odd_scores_give_probabilities(scores: torch.Tensor) -> None:
    found = calibrate(scores, torch.ones(len(scores), dtype=torch.int64))
    p = probabilities(scores, found.temperature)
    assert np.isfinite(found.temperature)
    assert found.temperature > 0
    torch.testing.assert_close(p.sum(1), torch.ones(len(p), dtype=torch.float64))


def test_the_draw_begins_with_that_of_a_run_of_the_same_seed() -> None:
    task = toy.task()
    nobody = Session(task=task, queries=Features.empty(task.dimension, task.support.class_names))
    for seed in (0, 3):
        made = Classifier("protonet", seed=seed).fit(task.support.x.numpy(), task.support.labels.numpy().astype(str))
        model = made._model_
        handover = Handover(Episode(sessions=(nobody,)), seed)
        own = replace(task.support, ids=model.task.support.ids)
        ours = set(own.ids[_held_out(model).numpy()])
        assert ours >= set(own.ids[handover.held_out(own, _count).numpy()])
        assert len(ours) == made._model_.calibration.images
