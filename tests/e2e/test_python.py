"""``bench.run`` in a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import bench as package
from bench.core.protocols import About
from bench.core.task import Task
from bench.results.schema import COLUMNS
from bench.utils.random import Stream
from tests import toy


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Always answers with the first class of the task: a method typed into a notebook."""

    height: float = 1.0
    name: str = field(default="constant", init=False)
    about: About = field(default=About(paper="none", equation="none", fidelity="faithful"), init=False)

    def build(self, task: Task, *, rng: Stream) -> Tensor:
        return torch.arange(task.n_classes).neg().float() * self.height

    def score(self, state: Tensor, queries: Tensor) -> Tensor:
        return state.expand(len(queries), -1)


def test_own_objects_run_and_come_back_as_a_data_frame(tmp_path: Path) -> None:
    frame = package.run("incremental", [Constant(), "protonet"], toy.dataset(), seeds=2).frame
    assert list(frame.columns) == [*COLUMNS, "accuracy"]
    assert set(frame["method"]) == {"constant", "protonet"}
    constant = frame[frame["method"] == "constant"]
    assert (constant["n_correct"] == 5).all(), "five queries are of the first class"
    assert constant["session_kind"].tolist() == (["built"] + ["rebuilt"] * 4) * 2


def test_a_class_is_as_good_as_an_object_and_takes_parameters() -> None:
    frame = package.run("incremental", [Constant], toy.dataset(), seeds=1, set={"constant.height": 3}).frame
    assert json.loads(frame["method_params"].iloc[0]) == {"height": 3.0}


def test_the_same_call_gives_the_same_frame(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "scenario": "web-zero-shot",
        "methods": ["knn", "mml"],
        "data": toy.dataset(),
        "seeds": 2,
    }
    arguments |= {"data": toy.dataset(), "set": {"mml.epochs": 2}}
    a, b = package.run(**arguments).frame, package.run(**arguments, out=tmp_path).frame
    from bench.results.schema import UNSTABLE

    pd.testing.assert_frame_equal(a.drop(columns=list(UNSTABLE)), b.drop(columns=list(UNSTABLE)))


def test_something_that_is_no_method_is_refused() -> None:
    with pytest.raises(package.BenchError, match="is no method"):
        package.run("incremental", [object()], toy.dataset(), seeds=1)
