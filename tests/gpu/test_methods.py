"""Every method on a card as on the CPU: in sessions, saved and loaded, explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.core.explanation import Neighbour
from bench.core.protocols import Explains, Trains
from bench.core.registry import METHODS, SCENARIOS
from bench.core.task import Episode
from bench.learning.state_io import load, save
from bench.runner.evaluate import Outcome, missing_requirement, run_cell
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests import toy
from tests.contract.test_methods import CLASSES, built, episode, make
from tests.gpu.device import DEVICE, on_a_gpu
from tools.gpu.draws import brief, trains
from tools.gpu.every_method import CONFIDENCE, Agreement

pytestmark = on_a_gpu

every_method = pytest.mark.parametrize("name", METHODS.names())


def quick(name: str) -> Any:
    """Return a method whose trainings are brief whatever a session brings."""
    # The toy memories are small, and a vote of all of them would be no vote.
    few = {"k": 3} if "k" in METHODS.get(name).cls.__dataclass_fields__ else {}
    return brief(name, 2, **few)


def outcomes(method: Any, dealt: Episode, device: str) -> list[Outcome]:
    there = dealt.to(device)
    return run_cell(method, Handover(there, 0), label=method.name).outcomes


@every_method
@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_every_scenario_gives_the_answers_of_the_cpu(name: str, scenario: str) -> None:
    recipe = SCENARIOS.get(scenario).cls()
    data = toy.dataset(per_class=16)
    dealt = recipe.deal(data, list(recipe.conditions(data))[-1], rng=Stream(0))
    method = quick(name)
    if missing_requirement(method.about, dealt):
        pytest.skip("lacks what it needs")
    here, there = outcomes(method, dealt, "cpu"), outcomes(method, dealt, DEVICE)
    assert [o.kind for o in there] == [o.kind for o in here]
    assert [o.exemplars for o in there] == [o.exemplars for o in here]
    assert [o.state_bytes for o in there] == [o.state_bytes for o in here]
    assert Agreement.of(here, there).problem(CONFIDENCE[trains(method)]) == ""


@every_method
@pytest.mark.parametrize("budget", [{"exemplars": 20}, {"exemplars_per_class": 2}, {"budget_bytes": 50_000}])
def test_budgets_keep_the_same_exemplars(name: str, budget: dict[str, int]) -> None:
    recipe = SCENARIOS.get("incremental").cls(increment=4, **budget)
    data = toy.dataset(per_class=16)
    dealt = recipe.deal(data, next(iter(recipe.conditions(data))), rng=Stream(0))
    method = quick(name)
    if missing_requirement(method.about, dealt):
        pytest.skip("lacks what it needs")
    here, there = outcomes(method, dealt, "cpu"), outcomes(method, dealt, DEVICE)
    assert [(o.exemplars, o.details.get("carried_bytes")) for o in there] == [
        (o.exemplars, o.details.get("carried_bytes")) for o in here
    ]
    assert Agreement.of(here, there).different == 0


@every_method
def test_a_state_that_was_built_on_a_card_serves_on_the_cpu(name: str, tmp_path: Any) -> None:
    queries = toy.dataset().splits["test"].of_classes(CLASSES).x
    method, state = built(name, toy.task(CLASSES).to(DEVICE))
    save(state, tmp_path / "state.safetensors")
    with torch.no_grad():
        there = method.score(state, queries.to(DEVICE))
        here = method.score(load(tmp_path / "state.safetensors"), queries)
    assert there.device.type == torch.device(DEVICE).type
    torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=1e-3)


@every_method
def test_explanations_are_those_of_the_cpu(name: str) -> None:
    if not isinstance(make(name), Explains):
        pytest.skip("cannot say what its answers rest on")
    query = toy.dataset().splits["test"].of_classes(CLASSES).x[4]
    task = toy.task(CLASSES)
    method, state = built(name, task)
    here = method.explain(state, task, query)
    method, state = built(name, task.to(DEVICE))
    there = method.explain(state, task.to(DEVICE), query.to(DEVICE))
    assert [named(n) for n in there.neighbours] == [named(n) for n in here.neighbours]
    assert set(there.prototypes) == set(here.prototypes)
    for name_of_branch, cosines in here.prototypes.items():
        torch.testing.assert_close(there.prototypes[name_of_branch].cpu(), cosines, atol=1e-3, rtol=1e-3)


def named(neighbour: Neighbour) -> tuple[str, int, str]:
    return neighbour.item, neighbour.label, neighbour.branch


@every_method
def test_weights_are_trained_where_the_images_lie(name: str) -> None:
    method = make(name)
    if not isinstance(method, Trains):
        pytest.skip("does not train on seen classes")
    training = episode(toy.task(CLASSES)).to(DEVICE).training
    assert training is not None
    trained: Any = method.train(training, None, rng=Stream(0))
    weights = [t for t in _tensors(vars(trained)) if t.is_floating_point()]
    assert weights
    assert {w.device.type for w in weights} == {torch.device(DEVICE).type}


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for part in value.values() for t in _tensors(part)]
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in _tensors(part)]
    return _tensors(vars(value)) if hasattr(value, "__dataclass_fields__") else []
