"""What the runner shows a method of its queries, by what the method says it looks at."""

from dataclasses import replace

import pytest
import torch

import bench
from bench.core.protocols import About
from bench.functional.classwise import class_means, normalise
from bench.learning.streaming import in_turn
from bench.reports.analysis import Analysis, Choices
from bench.runner.api import run as run_api
from bench.runner.scoring import Scorer
from bench.sampling.sessions import make_task
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy


def about(sees):
    return About(paper="none", equation="none", fidelity="adapted", adapted="for a test", sees=sees)


class Means:
    name = "means"
    about = about("query")

    def build(self, task, *, rng):
        return normalise(class_means(normalise(task.labelled.x), task.columns(task.labelled.labels), task.n_classes))

    def score(self, state, queries):
        return normalise(queries) @ state.T


class Counting(Means):
    """Sees a stream; keeps how many queries it was given at a time and says so."""

    name = "counting"
    about = about("stream")
    given: list[int] = []  # noqa: RUF012 - written by the test alone

    def begin(self, state):
        Counting.given.append(0)
        return torch.zeros(1)

    def step(self, state, seen, queries):
        Counting.given.append(len(queries))
        seen += len(queries)
        return Means.score(self, state, queries) + seen * torch.tensor([1.0, *[0.0] * (len(state) - 1)])

    def score(self, state, queries):
        return in_turn(self, state, queries)


class Together(Means):
    """Sees a set: takes the mean of all queries away."""

    name = "together"
    about = about("set")
    given: list[int] = []  # noqa: RUF012

    def score(self, state, queries):
        Together.given.append(len(queries))
        return Means.score(self, state, queries - queries.mean(0) / 4)


@pytest.fixture(autouse=True)
def nothing_given():
    Counting.given.clear()
    Together.given.clear()


def test_a_stream_method_is_given_one_query_at_a_time_across_blocks():
    state = torch.eye(3, 4)
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    scorer = Scorer(Counting(), state, "counting")
    parts = scorer.parts(x.split(4))
    found = torch.cat([scorer(part) for part in parts])
    assert Counting.given == [0, *[1] * 7]
    torch.testing.assert_close(found, Counting().score(state, x))
    assert found[:, 0].tolist() == pytest.approx((normalise(x)[:, 0] + torch.arange(1, 8)).tolist())


def test_a_set_method_is_given_all_queries_at_once():
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    scorer = Scorer(Together(), torch.eye(3, 4), "together")
    (part,) = scorer.parts(x.split(4))
    assert torch.equal(part, x)
    scorer(part)
    assert Together.given == [7]


def test_who_says_stream_and_takes_none_is_told():
    class Claims(Means):
        about = about("stream")

    with pytest.raises(BenchError, match="method claims says that it sees a stream; give it begin and step"):
        Scorer(Claims(), torch.eye(3, 4), "claims")(torch.ones(2, 4))


def test_records_say_what_a_method_sees():
    frame = bench.run("supervised", [Means(), Counting(), Together()], toy.dataset(), seeds=1, device="cpu").frame
    assert dict(zip(frame["method"], frame["sees"], strict=True)) == {
        "means": "query",
        "counting": "stream",
        "together": "set",
    }
    assert max(Counting.given) == 1
    assert 50 in Together.given


def test_a_set_method_is_skipped_where_one_query_is_dealt():
    data = toy.dataset()
    one = replace(data, splits={**data.splits, "test": data.splits["test"].take([0])})
    frame = bench.run("supervised", [Means(), Together()], one, seeds=1, device="cpu").frame.set_index("method")
    assert frame["status"].to_dict() == {"means": "ok", "together": "skipped"}
    assert frame.loc["together", "reason"].startswith("needs several queries to look at together")


def test_comparisons_across_kinds_are_marked(tmp_path):
    run_api("supervised", [Means(), Counting(), Together()], toy.dataset(), seeds=2, device="cpu", out=tmp_path)
    analysis = Analysis.of([tmp_path], choices=Choices(unequal_labels=True))
    assert set(analysis.methods) == {"means", "counting(stream)", "together(set)"}
    kinds = {(c.a, c.b): c.sees for c in analysis.comparisons[0]}
    assert kinds["counting(stream)", "means"] == ("stream", "query")
    assert kinds["counting(stream)", "together(set)"] == ("stream", "set")
    assert any("looked at all queries of a session together" in line for line in analysis.warnings)
    assert Analysis.of([tmp_path], choices=Choices(baseline="together")).comparisons[0]


def test_a_task_is_the_same_whatever_a_method_sees():
    data = toy.dataset()
    task = make_task(data, (0, 1, 2), support=data.splits["train"].of_classes((0, 1, 2)), memory=data.memory)
    states = [method.build(task, rng=Stream(0)) for method in (Means(), Counting(), Together())]
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
