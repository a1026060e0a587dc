"""Temperatures are fitted on images that the scored state did not see, or null with the reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.core.protocols import About
from bench.core.task import Task
from bench.functional.temperature import fitted_temperature
from bench.learning.modular.state import Modular
from bench.learning.modular.training import Training
from bench.runner.calibration import Calibrator
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.scenarios.few_to_many_shot import FewToManyShot
from bench.scenarios.incremental import Incremental
from bench.scenarios.lifecycle import Lifecycle
from bench.scenarios.supervised import Supervised
from bench.scenarios.web_zero_shot import WebZeroShot
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make
from tests.scenarios.dealt import deals


@pytest.mark.parametrize("stretch", [1e-3, 1.0, 50.0])
def test_the_temperature_of_drawn_labels_is_found_whatever_the_scale(stretch: float) -> None:
    """Labels drawn from softmax of the scores have temperature 1 on their scale."""
    draw = Stream(0).numpy()
    scores = torch.from_numpy(draw.standard_normal((4000, 5)) * 2)
    columns = torch.multinomial(scores.softmax(1), 1, generator=Stream(1).torch())[:, 0]
    found = fitted_temperature(scores * stretch, columns)
    assert found == pytest.approx(stretch, rel=0.08)


def test_a_few_right_answers_do_not_make_certain_and_equal_scores_tell_nothing() -> None:
    scores = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    temperature = fitted_temperature(scores, torch.tensor([0, 1]))
    assert temperature is not None
    assert 0.6 < float((scores / temperature).softmax(1).amax(1).mean()) < 0.9
    assert fitted_temperature(torch.ones(4, 3), torch.tensor([0, 1, 2, 0])) is None
    assert fitted_temperature(torch.full((2, 2), -torch.inf), torch.tensor([0, 1])) is None
    votes = torch.tensor([[3.0, -torch.inf], [1.0, -torch.inf], [2.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert fitted_temperature(votes, torch.tensor([0, 1, 0, 1, 0])) is not None


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Cosine to means; keeps what it was built on and what it was asked."""

    name = "watcher"
    about = About(paper="none", equation="none", fidelity="adapted", adapted="made for a test")
    seen: Any = None

    def build(self, task: Task, *, rng: Any) -> Any:
        state = make("protonet").build(task, rng=rng)
        return task.support.row_digests, state

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        self.seen.append((set(state[0].tolist()), queries.clone()))
        return make("protonet").score(state[1], queries)


def digests(x: torch.Tensor) -> set[str]:
    from bench.core.features import Features

    none = torch.zeros(len(x), dtype=torch.int64)
    return set(Features(x, none, np.array([str(n) for n in range(len(x))]), ("a",)).row_digests.tolist())


@pytest.mark.parametrize(
    "recipe", [Supervised(shots=5), FewToManyShot(shots=(5,), way=3, episodes=4)], ids=lambda r: r.name
)
def test_the_state_that_calibrates_has_not_seen_the_images_it_calibrates_on(recipe: Any) -> None:
    ((_, episode),) = deals(recipe, toy.dataset())
    seen: list[tuple[set[str], torch.Tensor]] = []
    outcomes = run_cell(Watcher(seen=seen), Handover(episode, 0), label="watcher", calibrate=True).outcomes
    dealt = {d for s in episode.sessions for d in s.task.support.row_digests.tolist()}
    asked = [(support, digests(x)) for support, x in seen]
    held_out = [(support, images) for support, images in asked if images <= dealt]
    assert held_out
    assert all(not support & images for support, images in held_out)
    assert {o.temperature.source for o in outcomes} == {"held-out support"}
    assert len({o.temperature.value for o in outcomes}) == 1
    plain = run_cell(Watcher(seen=[]), Handover(episode, 0), label="watcher").outcomes
    for one, other in zip(outcomes, plain, strict=True):
        assert torch.equal(one.predictions, other.predictions)
        assert one.cost["build_flops"] == other.cost["build_flops"], "charged to the method"


def test_confidences_are_those_of_the_scaled_scores() -> None:
    ((_, episode),) = deals(Supervised(shots=5), toy.dataset())
    (session,), method = episode.sessions, make("protonet")
    (outcome,) = run_cell(method, Handover(episode, 0), label="protonet", calibrate=True).outcomes
    assert outcome.temperature.value is not None
    scores = method.score(method.build(session.task, rng=Stream(0)), session.queries.x)
    wanted = (scores / outcome.temperature.value).softmax(1).amax(1)
    torch.testing.assert_close(outcome.confidences, wanted, atol=1e-4, rtol=1e-3)


def test_sets_are_the_classes_above_the_threshold_and_none_for_classes_that_nothing_was_held_out_of() -> None:
    ((_, episode),) = deals(Supervised(shots=5), toy.dataset())
    (session,), method = episode.sessions, make("protonet")
    (outcome,) = run_cell(method, Handover(episode, 0), label="protonet", calibrate=True).outcomes
    temperature = outcome.temperature
    assert temperature.sets is not None
    assert temperature.value is not None
    scores = method.score(method.build(session.task, rng=Stream(0)), session.queries.x)
    above = (scores / temperature.value).softmax(1) >= temperature.sets.threshold
    assert outcome.set_sizes is not None
    # Lots move a probability by 1e-5 at most.
    assert float((outcome.set_sizes == above.sum(1)).float().mean()) > 0.99
    for recipe in (WebZeroShot(), Lifecycle()):
        frame = bench.run(recipe, ["protonet"], toy.dataset(), seeds=1, device="cpu").frame
        assert frame["set_threshold"].isna().all()


def source(recipe: Any, **options: Any) -> set[tuple[bool, str]]:
    frame = bench.run(recipe, ["protonet"], toy.dataset(), seeds=1, device="cpu", **options).frame
    return {(bool(t == t), s) for t, s in zip(frame["temperature"], frame["temperature_from"], strict=True)}


def test_the_record_says_what_the_temperature_is_from_or_why_there_is_none() -> None:
    assert source(Incremental()) == {(True, "held-out support")}
    assert source(WebZeroShot()) == {(True, "validation classes")}
    assert source(Supervised(shots=2)) == {(True, "validation images")}
    assert source(FewToManyShot(shots=(2,))) == {(False, "none: a class has 2 labelled images, and 3 are needed")}
    assert source(Lifecycle()) == {(False, "none: no labelled images of the classes")}
    assert source(Supervised(), selection="validation-split") == {(True, "validation split")}
    assert source(Supervised(), calibrate=False) == {(False, "none: not asked for")}


def test_a_chain_of_sessions_is_calibrated_without_what_is_held_out_in_any_of_them() -> None:
    ((_, episode),) = deals(Incremental(), toy.dataset())
    for name in ("icarl", "slda", "knn"):
        if name == "icarl":
            episode = replace(episode, sessions=episode.sessions[:2])
        outcomes = run_cell(make(name), Handover(episode, 0), label=name, calibrate=True).outcomes
        assert all(o.temperature.value for o in outcomes), name


@pytest.mark.parametrize("budget", [{}, {"exemplars": 36}], ids=["whole", "capped"])
def test_a_method_that_holds_images_out_of_its_training_is_calibrated_on_them_and_not_trained_again(
    budget: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, episode),) = deals(Incremental(**{"exemplars": None, **budget}), toy.dataset())
    handover = Handover(episode, 0)
    fitted: list[set[str]] = []
    plain = Training.fit

    def fit(self: Training, forward: Any, state: Any, images: Any, *args: Any, **options: Any) -> Any:
        fitted.append(set(images.ids.tolist()))
        return plain(self, forward, state, images, *args, **options)

    scored: list[tuple[Modular, set[str]]] = []
    whole = Calibrator._scored

    def watched(self: Calibrator, held: Any, task: Task, images: Any) -> Any:
        scored.append((held.state, set(handover.names(images.ids))))
        return whole(self, held, task, images)

    monkeypatch.setattr(Training, "fit", fit)
    monkeypatch.setattr(Calibrator, "_scored", watched)
    method = make("mml", adapt_epochs=3, start_counts=False)
    outcomes = run_cell(method, handover, label="mml", calibrate=True).outcomes
    assert len(outcomes) == len(scored) == len(episode.sessions)
    assert len(fitted) == len(episode.sessions), "trained twice"
    assert {o.temperature.source for o in outcomes} == {"images held out of training"}
    assert all(o.details["epoch"] for o in outcomes)
    seen: set[str] = set()
    for outcome, trained, (state, asked) in zip(outcomes, fitted, scored, strict=True):
        seen |= trained
        assert not asked & seen, "a training had fitted them"
        assert not asked & set(state.image.items.ids.tolist()), "they answer for themselves"
        assert state.weights.epoch == outcome.details["epoch"]
    assert len(scored[-1][1]) > len(scored[0][1])
    monkeypatch.undo()
    for one, other in zip(outcomes, run_cell(method, Handover(episode, 0), label="mml").outcomes, strict=True):
        assert torch.equal(one.predictions, other.predictions)
