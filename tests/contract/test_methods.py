"""Every registered method x every promise a method makes."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

import pytest
import torch

from bench.core.protocols import Describes, Extends, Streams, Trains
from bench.core.registry import METHODS, SCENARIOS
from bench.core.state_bytes import StateBytes, nbytes
from bench.core.state_parts import leaves
from bench.core.task import Budget, Episode, Session, Task
from bench.learning.state_io import load, save
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions, with_training_options
from bench.runner.evaluate import missing_requirement, run_cell
from bench.runner.handover import Handover
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)


def make(name: str, **parameters: Any) -> Any:
    entry = METHODS.get(name)
    # Training is real but brief: the promises below do not depend on how long it lasts.
    brief = {key: 2 for key in ("epochs", "adapt_epochs") if key in {f.name for f in dataclasses.fields(entry.cls)}}
    if name != "rac":  # whose head starts from nothing
        brief |= {"steps": 20} if "steps" in {f.name for f in dataclasses.fields(entry.cls)} else {}
    grids = {"alpha_steps": 3, "beta_steps": 5, "gamma_steps": 2, "grid_steps": 3}
    brief |= {key: few for key, few in grids.items() if key in {f.name for f in dataclasses.fields(entry.cls)}}
    # The toy memories are small, and a vote of all of them would be no vote.
    few = {"k": 3} if "k" in {f.name for f in dataclasses.fields(entry.cls)} else {}
    return entry.cls(**{**few, **entry.preset, **brief, **parameters})


def episode(task: Task, *, training: bool = True) -> Episode:
    data = toy.dataset()
    queries = data.splits["test"].of_classes(task.classes)
    seen = toy.task((0, 1, 2, 4), support=False)
    shown = data.splits["train"].of_classes(seen.classes)
    return Episode(
        sessions=(Session(task=task, queries=queries),),
        training=Session(task=seen, queries=shown) if training else None,
    )


def built(name: str, task: Task, seed: int = 0, options: TrainingOptions = DEFAULT_OPTIONS) -> tuple[Any, Any]:
    """Return the method, trained where it trains, and its state on a task, all on the task's device."""
    method, rng = with_training_options(make(name), options), Stream(seed)
    whole = episode(task).to(task.device)
    if isinstance(method, Trains) and whole.training is not None:
        method = method.train(whole.training, None, rng=rng.child("train"))
    return method, method.build(task, rng=rng.child("build"))


def scores(name: str, task: Task, queries: torch.Tensor, seed: int = 0) -> torch.Tensor:
    method, state = built(name, task, seed)
    with torch.no_grad():
        result: torch.Tensor = method.score(state, queries)
    return result


@pytest.fixture
def queries() -> torch.Tensor:
    return toy.dataset().splits["test"].of_classes(CLASSES).x.clone()


every_method = pytest.mark.parametrize("name", METHODS.names())


trains = [n for n in METHODS.names() if "training_options" in {f.name for f in dataclasses.fields(METHODS.get(n).cls)}]


@pytest.mark.parametrize("name", [name for name in trains if name != "tip-adapter"])
def test_what_is_trained_says_what_chose_its_epoch_and_whether_the_untrained_start_was_kept(name: str) -> None:
    method, state = built(name, toy.task(CLASSES))
    told = method.describe(state)
    assert isinstance(told["untrained_start_chosen"], bool)
    if name != "tip-adapter-f":
        assert told["chosen_on"]


@every_method
def test_declares_itself(name: str) -> None:
    about = make(name).about
    assert about.paper
    assert about.equation
    assert (about.fidelity == "adapted") == bool(about.adapted)
    assert about.selection in ("none", "support-heldout", "validation", "oracle")


@every_method
def test_answers_with_one_column_a_class_for_any_class_ids(name: str, queries: torch.Tensor) -> None:
    found = scores(name, toy.task(CLASSES), queries)
    assert found.shape == (len(queries), 3)
    assert not torch.isnan(found).any()
    labels = toy.dataset().splits["test"].of_classes(CLASSES).labels
    accuracy = (torch.tensor(CLASSES)[found.argmax(1)] == labels).float().mean()
    assert accuracy > 0.6, "clusters this tight are easy; columns are probably in another order than task.classes"


@every_method
def test_does_not_change_its_inputs(name: str, queries: torch.Tensor) -> None:
    task, asked = toy.task(CLASSES), queries.clone()
    before = (task.support.x.clone(), task.memory.images.x.clone(), task.memory.texts.x.clone(), task.prompts.x.clone())
    scores(name, task, queries)
    after = (task.support.x, task.memory.images.x, task.memory.texts.x, task.prompts.x)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(queries, asked)


@every_method
def test_same_seed_same_scores_whatever_ran_before(name: str, queries: torch.Tensor) -> None:
    first = scores(name, toy.task(CLASSES), queries)
    torch.rand(1000)
    scores(name, toy.task((0, 1)), queries, seed=5)
    assert torch.equal(first, scores(name, toy.task(CLASSES), queries))


@every_method
def test_neither_order_nor_batch_of_queries_matters(name: str, queries: torch.Tensor) -> None:
    """Of a method that sees one query; of one that sees a set, no order; of one that sees a stream, no later query."""
    method, state = built(name, toy.task(CLASSES))
    assert isinstance(method, Streams) == (method.about.sees == "stream")
    if method.about.sees == "stream":
        sees_a_stream(method, state, queries)
        return
    with torch.no_grad():
        whole = method.score(state, queries)
        order = torch.from_numpy(Stream(3).permutation(len(queries)))
        shuffled = method.score(state, queries[order])
        torch.testing.assert_close(shuffled, whole[order], atol=1e-4, rtol=1e-4)
        if method.about.sees == "set":
            return
        single = torch.cat([method.score(state, row.unsqueeze(0)) for row in queries])
    torch.testing.assert_close(single, whole, atol=1e-4, rtol=1e-4)


def sees_a_stream(method: Any, state: Any, queries: torch.Tensor) -> None:
    """Hold that no answer changes when later queries do, that a stream leaves no trace, and what ``score`` means."""
    with torch.no_grad():
        whole = method.score(state, queries)
        for length in (1, len(queries) // 2):
            rest = -queries[length:]
            changed = method.score(state, torch.cat([queries[:length], rest]))
            torch.testing.assert_close(changed[:length], whole[:length], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(method.score(state, queries), whole, atol=0, rtol=0)
        seen = method.begin(state)
        steps = torch.cat([method.step(state, seen, row) for row in queries.split(1)])
    torch.testing.assert_close(steps, whole, atol=0, rtol=0)


@every_method
def test_state_saves_loads_and_weighs(name: str, queries: torch.Tensor, tmp_path: Any) -> None:
    method, state = built(name, toy.task(CLASSES))
    save(state, tmp_path / "state.safetensors")
    again = load(tmp_path / "state.safetensors")
    assert nbytes(state) > 0
    with torch.no_grad():
        # A loaded matrix is contiguous where the built one may be a transposed view, so the last bit may differ.
        torch.testing.assert_close(method.score(again, queries), method.score(state, queries), atol=1e-5, rtol=1e-5)


@every_method
def test_every_tensor_of_a_state_is_declared(name: str) -> None:
    method, state = built(name, toy.task(CLASSES))
    undeclared = [part.path for part in leaves(state) if part.tensor is not None and part.kind is None]
    assert not undeclared, "declare these fields, such as `counts: Tensor = field(metadata=STATISTICS)`"
    if isinstance(method, Extends):
        data, none = toy.dataset(), toy.dataset(images=False)
        new = {"support": data.splits["train"].of_classes((0,)), "memory": none.memory.restrict((0,))}
        later = dataclasses.replace(toy.task((*CLASSES, 0)), session=1, **new)
        assert StateBytes.of(method.extend(state, later, rng=Stream(0))).unknown == 0


@every_method
def test_describes_itself_in_plain_values(name: str) -> None:
    method, state = built(name, toy.task(CLASSES))
    if isinstance(method, Describes):
        json.dumps(dict(method.describe(state)))


@every_method
@pytest.mark.parametrize("missing", ["texts", "images", "support", "class"])
def test_runs_without_a_modality_or_says_what_it_lacks(name: str, missing: str, queries: torch.Tensor) -> None:
    task = toy.task(CLASSES, texts=missing != "texts", images=missing != "images", support=missing != "support")
    if missing == "class":
        # One class without any labelled image.
        keep = task.support.labels != 3
        memory = task.memory.replace(images=task.memory.images.take(task.memory.images.labels != 3))
        task = dataclasses.replace(task, support=task.support.take(keep), memory=memory)
    reason = missing_requirement(make(name).about, episode(task))
    if reason is not None:
        assert "needs" in reason
        return
    found = scores(name, task, queries)
    assert found.shape == (len(queries), 3)
    assert not torch.isnan(found).any()


@every_method
def test_two_classes_are_enough(name: str) -> None:
    found = scores(name, toy.task((4, 2)), toy.dataset().splits["test"].of_classes((4, 2)).x)
    assert found.shape == (10, 2)


@every_method
def test_later_sessions_keep_the_order_of_old_classes(name: str) -> None:
    data, none = toy.dataset(), toy.dataset(images=False)
    sessions = []
    for number, seen in enumerate(((5, 1, 8), (5, 1, 8, 0, 2))):
        new = seen if number == 0 else seen[3:]
        task = dataclasses.replace(
            toy.task(seen),
            support=data.splits["train"].of_classes(new),
            memory=none.memory.restrict(new),
            budget=Budget(items=20),
            session=number,
        )
        sessions.append(Session(task=task, queries=data.splits["test"].of_classes(seen)))
    whole = Episode(sessions=tuple(sessions))
    if missing_requirement(make(name).about, whole):
        pytest.skip("lacks what it needs in class-incremental learning")
    outcomes = run_cell(make(name), Handover(whole, 0), label=name).outcomes
    assert [o.kind for o in outcomes] == ["built", "extended" if isinstance(make(name), Extends) else "rebuilt"]
    labels = sessions[1].queries.labels
    assert (outcomes[1].predictions == labels).float().mean() > 0.5
    assert set(outcomes[1].predictions.tolist()) <= {5, 1, 8, 0, 2}


@cache
def dealt(scenario: str) -> Episode:
    """Return the last condition of a scenario with its defaults, dealt once for all methods: none can write to it."""
    recipe, data = SCENARIOS.get(scenario).cls(), toy.dataset(per_class=16)
    episode: Episode = recipe.deal(data, list(recipe.conditions(data))[-1], rng=Stream(0))
    return episode


@every_method
@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_runs_in_every_scenario_or_says_why_not(name: str, scenario: str) -> None:
    whole, method = dealt(scenario), make(name)
    reason = missing_requirement(method.about, whole)
    if reason is not None:
        assert "needs" in reason
        return
    outcomes = run_cell(method, Handover(whole, 0), label=name).outcomes
    assert len(outcomes) == len(whole.sessions)
    for outcome in outcomes:
        assert len(outcome.predictions) == len(outcome.session.queries)
        right = outcome.predictions == outcome.session.queries.labels
        assert torch.equal(right, outcome.ranks == 0), "rank 0 is a right answer and no other"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_method
def test_gives_the_same_scores_on_a_gpu(name: str, queries: torch.Tensor) -> None:
    here = scores(name, toy.task(CLASSES), queries)
    there = scores(name, toy.task(CLASSES).to("cuda"), queries.to("cuda"))
    torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=1e-3)
