"""The bytes of states: each tensor is what its field declares, and what none declares is unknown."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items
from bench.core.registry import METHODS, SCENARIOS
from bench.core.state_bytes import EXEMPLARS, MEMORY, STATISTICS, WEIGHTS, StateBytes, nbytes
from bench.core.state_parts import leaves, move, strings
from bench.core.task import Episode, Session
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.runner.record_rows import measured
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy

CLASSES = (7, 3, 9)


@dataclass(frozen=True, eq=False)
class Inner:
    a: Tensor
    b: Tensor = field(metadata=STATISTICS)


@dataclass(frozen=True, eq=False)
class Outer:
    head: Tensor = field(metadata=WEIGHTS)
    inner: Inner
    searched: list[Tensor] = field(metadata=MEMORY)
    kept: dict[str, Inner] = field(metadata=EXEMPLARS)
    loose: Tensor
    names: np.ndarray


def state_of(name: str, **parameters: Any) -> Any:
    entry = METHODS.get(name)
    return entry.cls(**{**entry.preset, **parameters}).build(toy.task(CLASSES), rng=Stream(0))


def outer() -> Outer:
    a, b = torch.zeros(3), torch.zeros(5)
    kept = {"x": Inner(torch.zeros(11), torch.zeros(13))}
    return Outer(torch.zeros(2), Inner(a, b), [torch.zeros(7), torch.zeros(17)], kept, a[:2], np.array(["p", "q"]))


def test_a_field_says_what_all_of_it_is_and_else_each_part_says_it_itself() -> None:
    assert StateBytes.of(outer()) == StateBytes(
        weights=4 * 2, statistics=4 * 5, memory=4 * (7 + 17), exemplars=4 * (11 + 13), unknown=4 * 3
    )
    assert nbytes(outer()) == 4 * (2 + 3 + 5 + 7 + 17 + 11 + 13)
    assert [part.path for part in leaves(outer()) if part.tensor is not None and part.kind is None] == [
        "state.inner.a",
        "state.loose",
    ]


def test_arrays_of_numbers_weigh_and_ids_do_not() -> None:
    assert StateBytes.of({"x": np.zeros((2, 3)), "ids": np.array(["a", "b"])}) == StateBytes(unknown=48)
    assert list(strings(outer())) == ["p", "q"]


def test_items_and_features_say_what_they_are_wherever_they_are_kept() -> None:
    features = Features(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64), np.array(["x", "y", "z"]), ("a",))
    size = 3 * 4 * 4 + 3 * 8
    assert StateBytes.of([features]) == StateBytes(exemplars=size)
    items = Items.of_features(features, "web")
    assert StateBytes.of((items,)) == StateBytes(memory=size)
    # What the harness carries on is exemplars, whatever it is kept as.
    assert StateBytes.of(None, items) == StateBytes(exemplars=size)
    assert StateBytes.of(items, items) == StateBytes(memory=size)


def test_a_word_that_is_no_kind_is_refused() -> None:
    wrong = dataclasses.make_dataclass("Wrong", [("x", Tensor, field(metadata={"bytes": "weight"}))])
    with pytest.raises(BenchError, match=r"Wrong\.x is declared as 'weight'; declare it as one of weights, memory"):
        nbytes(wrong(torch.zeros(1)))


def test_a_moved_state_has_the_same_parts() -> None:
    there = move(outer(), "cpu")
    assert isinstance(there, Outer)
    assert StateBytes.of(there).unknown == 4 * 3
    assert list(there.kept) == ["x"]


def test_the_projection_and_the_head_of_ranpac_are_weights() -> None:
    d, c, width = toy.task(CLASSES).dimension, len(CLASSES), 20
    found = StateBytes.of(state_of("ranpac", width=width))
    assert found.weights == d * width * 4 + width * c * 4
    assert found.statistics > c * 8
    assert found.memory == found.exemplars == found.unknown == 0


def test_the_cache_of_tip_adapter_is_memory_until_its_keys_are_trained() -> None:
    task = toy.task(CLASSES)
    n, d, c = len(task.labelled), task.dimension, len(CLASSES)
    free, trained = (StateBytes.of(state_of(name)) for name in ("tip-adapter", "tip-adapter-f"))
    assert free == StateBytes(memory=n * d * 4 + n * 8, statistics=c * 8 + c * d * 4)
    assert trained == StateBytes(weights=n * d * 4, memory=n * 8, statistics=c * 8 + c * d * 4)


def test_what_an_estimator_of_scikit_learn_is_fitted_on_is_memory() -> None:
    task = toy.task(CLASSES)
    n, d = len(task.labelled), task.dimension
    assert StateBytes.of(state_of("sklearn")) == StateBytes(memory=n * d * 4 + n * 8)


def test_the_exemplars_that_the_harness_carries_are_items_and_no_class_texts() -> None:
    data = toy.dataset()
    scenario = SCENARIOS.get("incremental").cls()
    episode = scenario.deal(data, next(iter(scenario.conditions(data))), rng=Stream(0))
    assert len(episode.sessions[-1].task.prompts)
    # What is carried for knn is all in its state already, as the items that vote.
    *_, last = run_cell(METHODS.get("knn").cls(), Handover(episode, 0), label="knn").outcomes
    assert last.kind == "rebuilt"
    assert last.exemplars
    assert last.stored.exemplars == 0
    # A linear probe holds none of the images that are carried for it.
    *_, last = run_cell(METHODS.get("linear-probe").cls(), Handover(episode, 0), label="linear-probe").outcomes
    assert last.exemplars
    assert last.stored.exemplars == last.exemplars * (data.dimension * 4 + 8)


class Plugged:
    """A plug-in's method whose state declares nothing."""

    name = "plugged"
    about = METHODS.get("protonet").cls.about

    def build(self, task: Any, *, rng: Stream) -> dict[str, Tensor]:
        return {"means": torch.ones(task.n_classes, task.dimension)}

    def score(self, state: dict[str, Tensor], queries: Tensor) -> Tensor:
        return queries @ state["means"].T


def test_what_a_plug_in_does_not_declare_is_recorded_as_unknown() -> None:
    task = toy.task(CLASSES)
    session = Session(task=task, queries=toy.dataset().splits["test"].of_classes(CLASSES))
    episode = Episode(sessions=(session,))
    (outcome,) = run_cell(Plugged(), Handover(episode, 0), label="plugged").outcomes
    row = measured(outcome, torch.zeros(len(session.queries), dtype=torch.bool))
    size = len(CLASSES) * task.dimension * 4
    assert row["state_unknown_bytes"] == row["state_bytes"] == size
    assert {row[f"{kind}_bytes"] for kind in ("memory", "exemplar", "statistics", "weights")} == {0}
