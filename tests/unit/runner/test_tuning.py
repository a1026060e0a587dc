"""As many configurations for every method, compared on images that are no queries."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import bench
from bench.cli.main import main
from bench.core.registry import METHODS
from bench.core.task import Task
from bench.runner.tuning import configurations
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make


@pytest.fixture(autouse=True)
def turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a method that answers rightly at one setting and by chance at the others."""
    METHODS.load()
    monkeypatch.setattr(METHODS, "_known", dict(METHODS._known))

    @bench.method(
        "turned",
        paper="none",
        equation="none",
        grid={"turn": (0, 1, 2), "scale": (1.0, 2.0)},
        variants={"turned-twice": {"turn": 2}},
    )
    @dataclass(frozen=True, kw_only=True)
    class Turned:
        """Cosine to means, of columns that are turned."""

        turn: int = 1
        scale: float = 1.0

        def build(self, task: Task, *, rng: Any) -> Any:
            return make("protonet").build(task, rng=rng)

        def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
            return self.scale * make("protonet").score(state, queries).roll(self.turn, 1)


def run(scenario: str = "supervised", methods: Any = ("turned",), data: Any = None, **options: Any) -> pd.DataFrame:
    data = toy.dataset() if data is None else data
    return bench.run(scenario, list(methods), data, seeds=1, device="cpu", calibrate=False, **options).frame


def test_the_defaults_come_first_and_more_configurations_include_fewer() -> None:
    method, rng = METHODS.get("turned").cls(), Stream(0)
    words = [[values for values, _ in configurations(method, n, rng)] for n in (1, 3, 6, 99)]
    assert words[0] == [{}]
    assert words[1] == words[3][:3]
    assert words[2] == words[3]
    assert len(words[3]) == 6, "three turns by two scales, the defaults among them"
    assert configurations(method, 3, Stream(1))[1:] != configurations(method, 3, rng)[1:]
    twice = [values for values, _ in configurations(METHODS.get("turned").cls(turn=2), 99, rng)]
    assert twice == [{}, {"scale": 2.0}], "what is set is none of the grid's"
    assert [v for v, _ in configurations(make("protonet"), 9, rng)] == [{}]


@pytest.mark.parametrize(
    ("scenario", "selection"),
    [("supervised", "support"), ("supervised", "validation-split"), ("web-zero-shot", "validation-classes"),
     ("incremental", "support"), ("web-zero-shot", "validation-split")],
)  # fmt: skip
def test_the_best_configuration_answers_and_the_record_says_so(scenario: str, selection: str) -> None:
    frame = run(scenario, ["turned", "protonet"], tune=6, selection=selection)
    turned, plain = (frame[frame["method"] == name] for name in ("turned", "protonet"))
    assert (turned["n_correct"].to_numpy() == plain["n_correct"].to_numpy()).all()
    assert set(turned["configurations"]) == {6}
    assert set(turned["selected_on"]) == {selection}
    assert set(plain["configurations"]) == {1}
    assert set(plain["selected_on"]) == {"none"}
    told = json.loads(turned["details"].iloc[0])["tuned"]
    assert told["parameters"]["turn"] == 0
    assert len(told["right"]) == 6
    assert max(told["right"]) <= told["of"]
    assert turned["tune_seconds"].iloc[0] > 0
    assert (plain["tune_seconds"] == 0).all()


def test_labels_that_configurations_are_compared_by_are_seen() -> None:
    seen = {s: int(run(tune=6, selection=s)["labels_seen"].iloc[0]) for s in ("support", "validation-split")}
    assert seen == {"support": 40, "validation-split": 40 + 30}


def test_the_queries_choose_nothing() -> None:
    """With queries of wrong labels the choice stays, and all answers are wrong."""
    data = toy.dataset()
    test = data.splits["test"]
    wrong = replace(data, splits={**data.splits, "test": replace(test, labels=(test.labels + 1) % 10)})
    right, other = run(tune=6), run(tune=6, data=wrong)
    assert json.loads(right["details"][0])["tuned"] == json.loads(other["details"][0])["tuned"]
    assert other["n_correct"][0] == 0


def test_a_selection_that_the_data_cannot_give_is_refused_or_said() -> None:
    data = toy.dataset()
    bare = replace(data, roles={role: names for role, names in data.roles.items() if role != "validation"})
    methods = ("turned", "linear-probe", "protonet")
    with pytest.warns(RuntimeWarning, match="toy has no validation split: images held out of the support choose there"):
        said = run(methods=methods, data=bare, tune=3, selection="validation-split").set_index("method")
    asked = run(methods=methods, data=bare, tune=3).set_index("method")
    instead = "support: data set toy has no validation split"
    assert said["selected_on"].to_dict() == {"turned": instead, "linear-probe": instead, "protonet": "none"}
    assert asked["selected_on"].to_dict() == {"turned": "support", "linear-probe": "support", "protonet": "none"}
    for column in ("n_correct", "configurations", "labels_seen"):
        assert said[column].to_dict() == asked[column].to_dict()
    with pytest.raises(BenchError, match="--selection validation-classes, and lifecycle deals none here"):
        run("lifecycle", tune=3, selection="validation-classes")
    with pytest.raises(BenchError, match="supervised validates on the classes that it asks about"):
        run("supervised", tune=3, selection="validation-classes")
    frame = run(tune=3, set={"supervised.shots": 1})
    assert frame["selected_on"].tolist() == ["none: no class can spare a labelled image"]
    assert frame["configurations"].tolist() == [1]
    frame = run("web-zero-shot", tune=3)
    assert frame["selected_on"].tolist() == ["none: no labelled images of the classes are dealt"]
    with pytest.raises(BenchError, match="--tune chooses on labelled images and --oracle on the queries"):
        run(methods=["knn"], tune=3, oracle=["knn.k=1,4"])


def test_a_grid_with_a_value_that_does_not_fit_is_refused_where_it_is_declared() -> None:
    with pytest.raises(BenchError, match="odd"):

        @bench.method("odd", paper="none", equation="none", grid={"k": ("many",)})
        @dataclass(frozen=True, kw_only=True)
        class Odd:
            k: int = 1


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path: Any) -> None:
    out = str(tmp_path / "runs")
    impossible = ["--scenario", "lifecycle", "--selection", "validation-classes"]
    for words in (impossible, ["--tune", "0"], ["--selection", "queries"]):
        arguments = ["run", "--methods", "protonet", "--data", "digits", "--quiet", *words, "--out", out]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2, words
        assert done.output.count("\n") == 1, done.output
        assert not list(tmp_path.rglob("*.parquet"))
        assert not list(tmp_path.rglob("run.json"))
