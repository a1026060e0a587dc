"""What a method that certifies refuses, and why: other edits, states of sums alone, searches that may miss items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.core.task import Task
from bench.sampling.sessions import make_task
from bench.search import engine
from bench.search.approximate.by_name import named_engine
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import few_shot, make, queries


def certified(method: Any, task: Task, edit: str, state: Any = None) -> Any:
    state = method.build(few_shot(), rng=Stream(0)) if state is None else state
    return method.certify(state, task, queries(), edit, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ranpac", "of ridge regression there is a rule for removed items alone"),
        ("slda", "of a shared covariance there is a rule for removed items alone"),
        ("visual-memory", "of its votes there is a rule for removed items alone"),
    ],
)
@pytest.mark.parametrize("edit", ["insert", "relabel"])
def test_an_edit_without_a_rule(name: str, words: str, edit: str) -> None:
    with pytest.raises(Unsuitable, match=words):
        certified(make(name), few_shot(), edit)
    assert len(certified(make(name), few_shot(), "remove").least) == len(queries())


@pytest.mark.parametrize(
    ("name", "edit"), [("protonet", "remove"), ("protonet", "relabel"), ("slda", "remove"), ("ranpac", "remove")]
)
def test_a_state_of_more_items_than_the_task_has(name: str, edit: str) -> None:
    task = few_shot()
    fewer = replace(task, support=task.support.take(torch.arange(len(task.support)) > 0))
    with pytest.raises(Unsuitable, match="its state keeps sums alone"):
        certified(make(name), fewer, edit)


def test_ranpac_with_more_items_than_columns() -> None:
    with pytest.raises(Unsuitable, match="its state keeps sums alone"):
        certified(
            make("ranpac", width=4), few_shot(), "remove", make("ranpac", width=4).build(few_shot(), rng=Stream(0))
        )


def test_a_pruned_memory() -> None:
    pruned = make("visual-memory", pruning="hard")
    with pytest.raises(Unsuitable, match="changes which others are pruned"):
        certified(pruned, few_shot(), "remove", pruned.build(few_shot(), rng=Stream(0)))


@pytest.mark.parametrize("name", ["knn", "visual-memory"])
def test_an_approximate_search(name: str) -> None:
    data = toy.dataset(3, images=False, per_class=80)
    many = make_task(data, (0, 1, 2), support=data.splits["train"], memory=data.memory)
    method = make(name, k=3)
    with engine(named_engine("sq8:candidates=6")):
        state = method.build(many, rng=Stream(0))
        with pytest.raises(Unsuitable, match="an approximate search may miss items"):
            certified(method, many, "remove", state)
