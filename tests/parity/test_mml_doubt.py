"""When MML keeps trained blocks: a paired test over validation classes, against scipy's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import ttest_1samp
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import METHODS
from bench.core.task import Session
from bench.learning.modular.training import SCALES, Check, _Judge
from bench.utils.random import Stream
from tests import toy

NAMES = toy.dataset().class_names


def mml(**parameters: Any) -> Any:
    return METHODS.get("mml").cls(**{"k": 3, "epochs": 10, "lr": 1e-2, **parameters})


def session(classes: tuple[int, ...], purpose: str, spread: float) -> Session:
    queries = toy.cloud(list(classes), 12, NAMES, purpose, spread=spread)
    return Session(task=toy.task(classes, support=False), queries=queries)


SEEN, OTHER = session((0, 1, 2, 4, 5), "seen", 0.9), session((0, 1, 2, 4, 5), "again", 0.9)


def losses(method: Any, weights: Any) -> torch.Tensor:
    """Return the loss of each validation image at the scale where their mean is least."""
    state = method._plugging.plug(OTHER.task, weights, rng=Stream(0).child("validation"))
    scores = method._forward.score(state, OTHER.queries.x)
    each = [F.cross_entropy(s * scores, OTHER.targets, reduction="none") for s in SCALES]
    return min(each, key=lambda one: float(one.mean()))


def test_doubt_is_that_of_a_paired_t_test_over_class_means() -> None:
    method = mml(doubt=0.5)
    trained = method.train(SEEN, OTHER, rng=Stream(0)).weights
    start = method._initial(SEEN.task, Stream(0))
    assert trained.epoch > 0, "better on average"
    gain = losses(method, start) - losses(method, trained)
    means = [float(gain[OTHER.targets == c].mean()) for c in OTHER.targets.unique()]
    p = float(ttest_1samp(means, 0, alternative="greater").pvalue)
    assert 0 < p < 0.5
    state = method._plugging.plug(OTHER.task, start, rng=Stream(0).child("validation"))
    judge = _Judge(method._forward, Check(state, OTHER.queries, OTHER.targets, "validation classes"), "loss")
    assert judge.prefers(trained, start, p * 1.01)
    assert not judge.prefers(trained, start, p * 0.99)
    for doubt, epoch in ((min(0.5, p * 1.01), trained.epoch), (p * 0.99, 0)):
        found = mml(doubt=doubt).train(SEEN, OTHER, rng=Stream(0))
        told = found.describe(found.build(toy.task((7, 3, 9), support=False), rng=Stream(0)))
        assert (told["epoch"], told["untrained_start_chosen"]) == (epoch, epoch == 0)
        assert told["trained_on"] == "seen classes"


def test_a_single_validation_class_shows_nothing() -> None:
    one = replace(OTHER, queries=OTHER.queries.of_classes([4]))
    assert mml(doubt=0.5).train(SEEN, one, rng=Stream(0)).weights.epoch == 0


@pytest.mark.parametrize("doubt", [1e-12, 0.5])
def test_held_out_images_of_the_classes_that_are_asked_about_need_no_such_proof(doubt: float) -> None:
    support = toy.cloud([7, 3, 9], 16, NAMES, "noisy", spread=0.5)
    task = replace(toy.task((7, 3, 9), images=False), support=support)
    found = [m.describe(m.build(task, rng=Stream(0)))["epoch"] for m in (mml(doubt=doubt), mml(doubt=0.05))]
    assert found[0] > 0
    assert found[0] == found[1]
