"""Mistakes of public code that no method here may make."""

import dataclasses

import numpy as np
import pytest
import torch

from bench.core.protocols import Forgets
from bench.core.registry import METHODS
from bench.core.task import Budget, Episode, Session
from bench.methods.visual_memory import relabelled
from bench.runner.evaluate import missing_requirement, run_cell
from bench.runner.handover import Handover
from bench.utils.errors import BenchError
from bench.utils.params import make as from_values
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import few_shot, make, queries

# Those that learn from the support of one task; the contract suite has the others.
STATISTICS = ("fecam", "gda", "klda", "protonet", "ranpac", "simplecil", "slda")
VOTES = ("knn", "tip-adapter", "visual-memory")
TRAINED = ("foster", "icarl", "lwf", "rac", "replay", "sklearn", "tip-adapter-f")
LEARNERS = STATISTICS + VOTES + TRAINED


@pytest.mark.parametrize("name", LEARNERS)
def test_class_ids_0_and_2_are_two_classes(name: str) -> None:
    """No loop over range(n_classes) in place of the class ids, and class 0 is not taken for none."""
    task = few_shot((2, 0))
    method = make(name, k=3) if name in ("knn", "visual-memory") else make(name)
    data = toy.dataset().splits["test"].of_classes((2, 0))
    found = method.score(method.build(task, rng=Stream(0)), data.x)
    assert torch.isfinite(found).all()
    assert torch.equal(torch.tensor(task.classes)[found.argmax(1)], data.labels)


@pytest.mark.parametrize("name", [n for n in LEARNERS if isinstance(METHODS.get(n).cls(), Forgets)])
def test_class_0_can_be_forgotten(name: str) -> None:
    task = few_shot((2, 0, 5))
    method = make(name, k=3) if name in ("knn", "visual-memory") else make(name)
    state = method.build(task, rng=Stream(0))
    gone = method.forget(state, task, task.support.of_classes([0]).ids.tolist())
    asked = toy.dataset().splits["test"].of_classes((2, 0, 5)).x
    assert 1 in method.score(state, asked).argmax(1)
    assert 1 not in method.score(gone, asked).argmax(1)


@pytest.mark.parametrize("name", ["gda", "ranpac"])
def test_what_is_chosen_is_chosen_anew_after_every_edit_of_a_memory(name: str) -> None:
    """Each edit is a session of its own, whose task is what was left by the one before it."""
    task, method = few_shot(), make(name)
    state = method.build(task, rng=Stream(0))
    for number, gone in enumerate(([1, 2, 3, 4], [5, 6, 7, 8])):
        ids = few_shot().support.ids[gone]
        state = method.forget(state, dataclasses.replace(task, session=number), ids.tolist())
        task = dataclasses.replace(task, support=task.support.take(~np.isin(task.support.ids, ids)))
        never = method.build(task, rng=Stream(0))
        assert method.describe(state) == method.describe(never)
        torch.testing.assert_close(method.score(state, queries()), method.score(never, queries()), atol=1e-4, rtol=1e-4)


def test_an_item_can_be_relabelled_to_class_0() -> None:
    task = few_shot((2, 0))
    state = make("visual-memory", k=1).build(task, rng=Stream(0))
    item = task.support.of_classes([2])
    edited = relabelled(state, {str(item.ids[0]): 0})
    assert make("visual-memory", k=1).score(edited, item.x[:1]).argmax(1).tolist() == [1]


@pytest.mark.parametrize("name", ["gda", "ranpac", "tip-adapter", "linear-probe"])
def test_what_is_chosen_does_not_depend_on_the_queries(name: str) -> None:
    task = few_shot()
    data = toy.dataset().splits["test"].of_classes(task.classes)
    shuffled = dataclasses.replace(data, labels=data.labels.roll(5))
    outcomes = []
    for asked in (data, shuffled):
        whole = Episode(sessions=(Session(task=task, queries=asked),))
        assert missing_requirement(make(name).about, whole) is None
        outcomes.append(run_cell(make(name), Handover(whole, 0), label=name).outcomes[0])
    assert outcomes[0].details == outcomes[1].details
    assert torch.equal(outcomes[0].predictions, outcomes[1].predictions)


@pytest.mark.parametrize("name", ["mml", "mml-no-knn", "rac", "tip-adapter", "tip-adapter-f"])
def test_a_budget_that_leaves_no_item_trains_nothing(name: str) -> None:
    task = dataclasses.replace(few_shot(), budget=Budget(items=0))
    asked = toy.dataset().splits["test"].of_classes(task.classes)
    whole = Episode(sessions=tuple(Session(task=task, queries=asked) for _ in range(2)))
    outcomes = run_cell(make(name), Handover(whole, 0), label=name).outcomes
    assert [len(o.predictions) for o in outcomes] == [len(asked)] * 2


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("protonet", "temperature", 0),
        ("zero-shot", "logit_scale", -1),
        ("klda", "shrinkage", 2),
        ("klda", "shrinkage", 1e-18),
        ("slda", "shrinkage", 1e-18),
        ("visual-memory", "temperature", 1e-4),
        ("fecam", "gamma2", 101),
    ],
)
def test_a_parameter_out_of_range_is_refused(name: str, parameter: str, value: float) -> None:
    with pytest.raises(BenchError, match=f"{name}.{parameter}="):
        from_values(METHODS.get(name).cls, name, {parameter: value})


def test_icarl_answers_by_the_mean_of_exemplars_and_not_by_its_head() -> None:
    method = make("icarl", hidden=8)
    state = method.build(few_shot(), rng=Stream(0))
    broken = dataclasses.replace(state, net=dataclasses.replace(state.net, head=torch.zeros_like(state.net.head)))
    assert torch.equal(method.score(broken, queries()), method.score(state, queries()))


@pytest.mark.parametrize(
    ("name", "chosen"), [("gda", "alpha"), ("linear-probe", "c"), ("ranpac", "penalty"), ("tip-adapter", "beta")]
)
def test_settings_are_chosen_on_the_validation_split_where_the_run_gives_one(name: str, chosen: str) -> None:
    """Of its labels something follows, and with it the classifier is made of the whole support."""
    base = few_shot()
    support = toy.cloud(list(base.classes), 6, base.support.class_names, "noisy", spread=0.5)
    split = toy.cloud(list(base.classes), 15, base.support.class_names, "split", spread=0.5)
    task = dataclasses.replace(base, support=support, choose_on=split)
    other = dataclasses.replace(split, labels=split.labels.roll(15))
    method = make(name)
    told, swapped, without = (
        method.describe(method.build(dataclasses.replace(task, choose_on=given), rng=Stream(0)))
        for given in (split, other, None)
    )
    assert told["held_out"] == 45
    assert told["configurations"] > 1
    assert told[chosen] != swapped[chosen]
    assert without["held_out"] < 18
