"""Plug-ins that write into what they are given, use the order of queries or look for labels gain nothing."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from bench.core.dataset import Dataset
from bench.core.protocols import About
from bench.core.task import Session, Task
from bench.data.item_images import Pictures
from bench.functional.classwise import class_means, normalise
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.scenarios.label_noise import LabelNoise
from bench.scenarios.memory_noise import MemoryNoise
from bench.utils.random import Stream
from tests import toy
from tests.scenarios.dealt import deals
from tests.scenarios.test_every_scenario import ALL

ABOUT = About(paper="none", equation="none", fidelity="adapted", adapted="made for a test")
EVERY = pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)


def telling(data: Dataset) -> Dataset:
    """Return the data set with ids that begin with the class, and with pictures under them."""

    def named(rows: Any, what: str) -> Any:
        ids = [f"{data.class_names[c]}/{what}/{n}" for n, c in enumerate(rows.labels.tolist())]
        return replace(rows, ids=np.array(ids, dtype=np.str_))

    splits = {name: named(split, name) for name, split in data.splits.items()}
    memory = data.memory.replace(images=named(data.memory.images, "web"), texts=named(data.memory.texts, "sentence"))
    ids = [str(i) for rows in (*splits.values(), memory.images) for i in rows.ids]
    pictures = Pictures("toy", {name: io.BytesIO(name.encode()).getvalue for name in ids})
    return replace(data, splits=splits, memory=memory, pictures=pictures)


class Means:
    """Cosine to class means of the labelled images; the base of the plug-ins here."""

    name = "means"
    about = ABOUT

    def build(self, task: Task, *, rng: Stream) -> Any:
        items = task.labelled if len(task.labelled) else task.text_memory
        return normalise(class_means(normalise(items.x), task.columns(items.labels), task.n_classes))

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        return normalise(queries) @ state.T


# -- who writes ------------------------------------------------------------------------------------------------------


def writes(what: Callable[[Task], Any]) -> Callable[[Task, torch.Tensor | None], None]:
    return lambda task, queries: what(task) if queries is None else None


def asks(what: Callable[[torch.Tensor], Any]) -> Callable[[Task, torch.Tensor | None], None]:
    return lambda task, queries: what(queries) if queries is not None else None


def zero(array: np.ndarray) -> None:
    array[:] = 0


WRITERS: dict[str, Callable[[Any, Any], None]] = {
    "queries": asks(lambda q: q.mul_(-1)),
    "queries of norm 1": asks(lambda q: q.div_(q.norm(dim=1, keepdim=True) * 2)),
    "queries by numpy": asks(lambda q: zero(q.numpy())),
    "queries by data": asks(lambda q: q.data.zero_()),
    "support": writes(lambda t: t.labelled.x.neg_()),
    "support by numpy": writes(lambda t: zero(t.labelled.x.numpy())),
    "labels": writes(lambda t: t.labelled.labels.fill_(t.classes[0])),
    "memory": writes(lambda t: t.image_memory.x.mul_(-1)),
    "keys": writes(lambda t: t.image_memory.index.keys.data.mul_(-1)),
    "memory later": lambda t, q: None if q is None else t.image_memory.x.neg_(),
    "class texts": writes(lambda t: t.prompts.x.neg_()),
}


class Writer(Means):
    """Writes into what it is given."""

    how: Callable[[Any, Any], None]

    def build(self, task: Task, *, rng: Stream) -> Any:
        made = super().build(task, rng=rng)
        self.how(task, None)
        return made, task

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        self.how(state[1], queries)
        return super().score(state[0], queries)


def run(recipe: Any, data: Dataset, methods: list[Any]) -> pd.DataFrame:
    return bench.run(recipe, methods, data, seeds=1, device="cpu", progress=False).frame


STABLE = ["method", "condition", "session", "n_correct", "queries_fingerprint", "memory_fingerprint"]


@pytest.mark.filterwarnings("ignore:failed writes")
@EVERY
def test_who_writes_fails_alone_and_by_name(recipe: Any) -> None:
    data, others = toy.dataset(), ["knn:k=3", Means()]
    kinds = [(f"writes {kind}", how) for kind, how in WRITERS.items()]
    writers = [type("Now", (Writer,), {"name": name, "how": staticmethod(how)})() for name, how in kinds]
    alone, frame = run(recipe, data, others), run(recipe, data, [*writers, *others])
    mine = frame["method"].str.startswith("writes")
    assert set(frame.loc[mine, "method"]) == {name for name, _ in kinds}
    assert frame.loc[mine & (frame["status"] != "failed"), "method"].empty
    for row in frame[mine].itertuples():
        assert str(row.reason).startswith(f"method {row.method} changed ")
    rest = frame[~mine].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest[STABLE], alone[STABLE], check_dtype=False)


def test_ids_cannot_be_written_to() -> None:
    class Renames(Means):
        name = "renames"

        def build(self, task: Task, *, rng: Stream) -> Any:
            task.labelled.ids[:] = "x"

    frame = bench.run("supervised", [Renames(), "knn:k=1"], toy.dataset(), seeds=1, device="cpu").frame
    assert dict(zip(frame["method"], frame["status"], strict=True)) == {"renames": "failed", "knn(k=1)": "ok"}
    assert frame["reason"].str.contains("read-only").sum() == 1


# -- who uses the order ----------------------------------------------------------------------------------------------


class Smooth(Means):
    """Averages the scores of seven neighbouring queries, which come class after class where nobody shuffles them."""

    name = "smooth"

    def score(self, state: Any, queries: torch.Tensor) -> torch.Tensor:
        scores = super().score(state, queries)
        wide = torch.nn.functional.pad(scores.T.unsqueeze(0), (3, 3), mode="replicate")
        return torch.nn.functional.avg_pool1d(wide, 7, 1)[0].T


def hazy() -> Dataset:
    """Return data on which class means err often, with ten queries a class."""
    data = toy.dataset(per_class=16)
    every = list(range(10))
    test = toy.cloud(every, 10, data.class_names, "test", 0.5)
    return replace(data, splits={**data.splits, "test": test})


@EVERY
def test_who_averages_neighbouring_queries_gains_nothing(recipe: Any) -> None:
    right = {"means": 0, "smooth": 0, "in order": 0}
    recipe = replace(recipe, seen=0) if hasattr(recipe, "train_images") else recipe
    # Orders by class tell of labels: the declared exception.
    recipe = replace(recipe, orders=("shuffled",)) if hasattr(recipe, "orders") else recipe
    for _, episode in deals(recipe, hazy()):
        for method in (Means(), Smooth()):
            outcomes = run_cell(method, Handover(episode, 0), label=method.name).outcomes
            right[method.name] += sum(int((o.predictions == o.session.queries.labels).sum()) for o in outcomes[:3])
        for session in episode.sessions[:3]:
            # As a test of the test: in the order of the data set it would have gained.
            scores = Smooth().score(Means().build(session.task, rng=Stream(0)), session.queries.x)
            right["in order"] += int((scores.argmax(1) == session.task.columns(session.queries.labels)).sum())
    assert right["smooth"] < right["means"]
    assert right["smooth"] < right["in order"] or recipe.name == "incremental", "whose classes come session by session"


def test_answers_come_back_in_the_order_in_which_queries_were_dealt() -> None:
    (_, episode), *_ = deals(LabelNoise(rates=(0.0,)), hazy())
    (session,), method = episode.sessions, Means()
    (outcome,) = run_cell(method, Handover(episode, 0), label="means").outcomes
    scores = method.score(method.build(session.task, rng=Stream(0)), session.queries.x)
    assert torch.equal(outcome.predictions, torch.tensor(session.task.classes)[scores.argmax(1)])
    torch.testing.assert_close(outcome.confidences, scores.softmax(1).amax(1))


# -- who looks for labels --------------------------------------------------------------------------------------------


def reachable(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield every string that attributes, containers and arrays lead to."""
    if id(value) in seen or isinstance(value, (torch.Tensor, type, int, float, bytes, type(None))):
        return
    seen.add(id(value))
    if isinstance(value, str):
        yield value
    elif isinstance(value, np.ndarray):
        yield from value.astype(str).ravel().tolist() if value.dtype.kind in "US" else ()
    elif isinstance(value, dict):
        for pair in value.items():
            yield from reachable(list(pair), seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from reachable(one, seen)
    elif is_dataclass(value) or hasattr(value, "__dict__"):
        yield from reachable(vars(value), seen)
        yield from reachable(getattr(value, "__self__", None), seen)


class Peeker(Means):
    """Looks at all that it is handed, and at the pictures' bytes, which here are their ids."""

    name = "peeker"

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.read: set[str] = set()
        self.seeds: set[int] = set()

    def train(self, training: Session, validation: Session | None, *, rng: Stream) -> Peeker:
        assert not training.notes
        self.found |= set(reachable((training, validation), set()))
        return self

    def build(self, task: Task, *, rng: Stream) -> Any:
        self.found |= set(reachable(task, set()))
        self.seeds.add(rng.seed)
        assert task.pictures is not None
        self.read |= {read().decode() for read in task.pictures.read.values()}
        return super().build(task, rng=rng)


@EVERY
def test_nothing_that_is_handed_over_leads_to_a_label_of_a_query(recipe: Any) -> None:
    data = telling(toy.dataset())
    ids = {str(i) for rows in (*data.splits.values(), data.memory.images, data.memory.texts) for i in rows.ids}
    for _, episode in deals(recipe, data):
        peeker = Peeker()
        run_cell(peeker, Handover(episode, 0), label="peeker")
        assert not peeker.found & ids
        asked = {str(i) for session in episode.sessions for i in session.queries.ids}
        assert peeker.read
        assert not peeker.read & asked
        assert peeker.seeds.isdisjoint(range(1000)), "the order of the queries follows from the run's seed"


class Order(Means):
    """Keeps the order in which it meets the labelled images."""

    name = "order"

    def build(self, task: Task, *, rng: Stream) -> Any:
        self.x = task.labelled.x
        return super().build(task, rng=rng)


@pytest.mark.parametrize("recipe", [LabelNoise(rates=(0.4,)), MemoryNoise(rates=(0.4,), seen=0)], ids=lambda r: r.name)
def test_the_order_of_noisy_labels_does_not_tell_the_right_ones(recipe: Any) -> None:
    """In the order of the data set, most neighbours are of one class."""
    data = toy.dataset(per_class=20)
    ((_, episode),) = deals(recipe, data)
    method = Order()
    run_cell(method, Handover(episode, 0), label="order")
    pool = data.splits["train"] if recipe.name == "label-noise" else data.memory.images
    right = {bytes(x.numpy()): c for x, c in zip(pool.x, pool.labels.tolist(), strict=True)}
    classes = [right[bytes(x.numpy())] for x in method.x]
    alike = sum(a == b for a, b in itertools.pairwise(classes)) / (len(classes) - 1)
    assert alike < 0.25
