"""Every registered method as a classifier that is kept: its answers are those of the harness, its edits are exact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.classifier.edits import added, removed
from bench.classifier.folder import read_folder, write_folder
from bench.classifier.items import renumbered
from bench.classifier.model import Model, make_model
from bench.core.protocols import Explains, Forgets
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.runner.evaluate import missing_requirement, run_cell
from bench.runner.handover import Handover
from bench.utils.errors import BenchError
from tests import toy
from tests.contract.test_methods import CLASSES, episode, make

every_method = pytest.mark.parametrize(
    "name", [name for name in METHODS.names() if METHODS.get(name).cls.about.sees == "query"]
)
what_explains = pytest.mark.parametrize(
    "name",
    [n for n in METHODS.names() if METHODS.get(n).cls.about.sees == "query" and isinstance(make(n), Explains)],
)


def dense(**parts: bool) -> Task:
    """A task whose class ids are its columns, as that of a classifier is."""
    return renumbered(toy.task(CLASSES, **parts), range(len(CLASSES)))


def kept(name: str, task: Task, folder: Path, share: float = 0.0) -> Model:
    """A model that was fitted as the harness does, written and read again."""
    training = episode(toy.task(CLASSES)).training
    model = make_model(make(name), task, seed=3, training=training, share=share)
    return again(model, folder)


def again(model: Model, folder: Path) -> Model:
    """A model written and read: what is read is contiguous, so that its last bits are those of any other read."""
    write_folder(model, folder, reject=0.25, card="")
    found, reject = read_folder(folder)
    assert reject == 0.25
    return found


def queries() -> torch.Tensor:
    return toy.dataset().splits["test"].of_classes(CLASSES).x


@every_method
def test_answers_are_those_of_the_harness(name: str, tmp_path: Path) -> None:
    whole = episode(toy.task(CLASSES))
    # A classifier keeps ids and orders, which the harness hides from methods where it compares them.
    (outcome,) = run_cell(make(name), Handover(whole, 3, as_dealt=True), label=name).outcomes
    asked = whole.sessions[0].queries
    model = kept(name, whole.sessions[0].task, tmp_path / "kept")
    scores = model.scores(asked.x)
    assert torch.equal(torch.tensor(model.task.classes)[scores.argmax(1)], outcome.predictions)
    confidences = model.probabilities(scores).max(1).values
    torch.testing.assert_close(confidences.float(), outcome.confidences, atol=1e-5, rtol=1e-4)


@every_method
def test_probabilities_are_probabilities_and_keep_the_order_of_scores(name: str, tmp_path: Path) -> None:
    model = kept(name, dense(), tmp_path / "kept", share=0.3)
    assert model.calibration.images > 0
    scores = model.scores(queries())
    p = model.probabilities(scores)
    torch.testing.assert_close(p.sum(1), torch.ones(len(p), dtype=torch.float64))
    chosen = p.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    assert torch.equal(chosen, p.max(1).values)


@every_method
def test_after_a_removal_it_is_one_that_never_saw_the_item(name: str, tmp_path: Path) -> None:
    task = dense()
    gone = [str(task.support.ids[1]), str(task.memory.images.ids[2]), str(task.memory.texts.ids[0])]
    edited = dataclasses.replace(
        task,
        support=task.support.take(~np.isin(task.support.ids, gone)),
        memory=task.memory.remove(ids=gone[1:]),
    )
    model = again(removed(kept(name, task, tmp_path / "kept", share=0.3), ids=gone, erase=True), tmp_path / "kept")
    never = kept(name, edited, tmp_path / "never", share=0.3)
    assert model.log[-1]["action"] == "forget"
    assert not [item for item in gone if item in str(model.log)]
    ours, theirs = model.scores(queries()), never.scores(queries())
    assert torch.equal(ours.argmax(1), theirs.argmax(1))
    exact = {} if isinstance(model.method, Forgets) else {"rtol": 0.0, "atol": 0.0}
    torch.testing.assert_close(ours, theirs, **(exact or {"rtol": 1e-4, "atol": 1e-5}))
    assert model.calibration == never.calibration


@every_method
def test_without_a_class_it_is_one_that_never_had_the_class(name: str, tmp_path: Path) -> None:
    model = again(removed(kept(name, dense(), tmp_path / "kept"), classes=["class 3"]), tmp_path / "kept")
    never = kept(name, renumbered(dense(), [0, 2]), tmp_path / "never")
    assert model.names == never.names == ("class 7", "class 9")
    torch.testing.assert_close(model.scores(queries()), never.scores(queries()), rtol=0.0, atol=0.0)


@every_method
def test_after_an_addition_it_is_one_that_had_the_items_all_along(name: str, tmp_path: Path) -> None:
    task = dense()
    few = dataclasses.replace(task, support=task.support.take(task.support.labels != 2))
    rest = task.support.take(task.support.labels == 2)
    if missing_requirement(make(name).about, dataclasses.replace(episode(few))):
        pytest.skip("cannot be fitted to fewer items")
    model = added(kept(name, few, tmp_path / "few"), rest.x, ["class 9"] * len(rest), ids=rest.ids.tolist())
    model = again(model, tmp_path / "few")
    whole = kept(name, task, tmp_path / "whole")
    assert model.log[-1]["action"] == "add"
    torch.testing.assert_close(model.scores(queries()), whole.scores(queries()), rtol=0.0, atol=0.0)


@what_explains
def test_explains_as_the_harness_does(name: str, tmp_path: Path) -> None:
    model = kept(name, dense(), tmp_path / "kept")
    assert isinstance(model.method, Explains)
    query = queries()[0]
    told = model.method.explain(model.state, model.task, query)
    fresh = make_model(make(name), dense(), seed=3, training=episode(toy.task(CLASSES)).training, share=0.0)
    assert isinstance(fresh.method, Explains)
    expected = fresh.method.explain(fresh.state, fresh.task, query)
    assert [one.item for one in told.neighbours] == [one.item for one in expected.neighbours]
    # A matrix that was read is contiguous where the built one may be a transposed view.
    for ours, theirs in zip(told.neighbours, expected.neighbours, strict=True):
        assert (ours.similarity, ours.weight) == pytest.approx((theirs.similarity, theirs.weight), abs=1e-5)


@dataclasses.dataclass(frozen=True)
class _SeesAll:
    """What a method declares that looks at all queries at once."""

    sees: str = "set"


class _Together:
    """A method whose answers depend on one another."""

    name = "together"
    about = _SeesAll()

    def build(self, task: Task, *, rng: object) -> Task:
        return task

    def score(self, state: Task, queries: torch.Tensor) -> torch.Tensor:
        return queries - queries.mean(0)


def test_a_method_that_sees_more_than_one_query_is_refused() -> None:
    with pytest.raises(BenchError, match="more than one query"):
        make_model(_Together(), dense())
