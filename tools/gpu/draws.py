"""What the sections measure on: a few bundled glyphs with their features, and made-up data in any size."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.cache import FeatureCache
from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.protocols import Method
from bench.core.registry import METHODS, SCENARIOS
from bench.core.task import Episode, Session
from bench.data.glyphs.dataset import Size, load
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.perf.comparisons import draw
from bench.runner.evaluate import Outcome, run_cell
from bench.runner.handover import Handover
from bench.sampling.sessions import make_task
from bench.utils.random import Stream

FEW = Size(seen=10, validation=5, unseen=10, support=8, query=4, held_out=2, images=6, sentences=6)
"""25 classes; drawn and encoded in seconds."""


def glyphs(size: Size = FEW) -> Dataset:
    """Return a few glyphs, encoded on the CPU into a cache that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return load(size, cache=FeatureCache(Path(folder)))


def deal(scenario: str, dataset: Dataset) -> Episode:
    """Return the episode that a scenario deals under its last condition."""
    recipe: Any = SCENARIOS.get(scenario).cls()
    episode: Episode = recipe.deal(dataset, list(recipe.conditions(dataset))[-1], rng=Stream(0))
    return episode


def brief(name: str, epochs: int, **parameters: Any) -> Any:
    """Return a registered method whose trainings last about so many epochs."""
    entry = METHODS.get(name)
    known = entry.cls.__dataclass_fields__
    # Where epochs are counted, ``steps`` is something else.
    steps = ("min_steps",) if "epochs" in known else ("min_steps", "steps")
    short = {key: epochs for key in ("epochs", "adapt_epochs") if key in known}
    short |= {key: 5 * epochs for key in steps if key in known}
    return entry.cls(**{**short, **entry.preset, **parameters})


def trains(method: Any) -> bool:
    """Return whether a method has weights that steps of an optimiser move, at a learning rate."""
    return "lr" in type(method).__dataclass_fields__


def answers(method: Method, episode: Episode, device: str, options: TrainingOptions = DEFAULT_OPTIONS) -> list[Outcome]:
    """Return what a method does in every session of an episode on a device."""
    there = episode.to(device)
    return run_cell(method, Handover(there, 0), label=method.name, options=options).outcomes


@dataclass(frozen=True, eq=False)
class Made:
    """Random unit vectors as an episode of the published size: one session, and one to train on.

    Attributes
    ----------
    keys : Tensor [m, d]
        All memory items.
    """

    keys: Tensor
    classes: int
    dimension: int
    device: str

    @classmethod
    def of(cls, items: int, classes: int, dimension: int, device: str) -> Made:
        """Draw the memory."""
        return cls(draw(items, dimension, "memory", device), classes, dimension, device)

    def memory(self, *, texts: float) -> Memory:
        """Return the memory, with so large a share of texts."""
        cut = round(len(self.keys) * (1 - texts))
        return Memory(self._items(0, cut, "image"), self._items(cut, len(self.keys), "text"))

    def _items(self, start: int, end: int, what: str) -> Items:
        ids = np.array([f"{what}/{n}" for n in range(start, end)], dtype=np.str_)
        labels = torch.arange(end - start, device=self.device) % self.classes
        return Items(self.keys[start:end], labels, ids, np.full(end - start, "made up"))

    def session(self, n: int, *, texts: float, purpose: str) -> Session:
        """Return a session of all classes without support, with n queries."""
        names = tuple(f"class {c}" for c in range(self.classes))
        labels = torch.arange(n, device=self.device) % self.classes
        ids = np.array([f"{purpose}/{at}" for at in range(n)])
        queries = Features(draw(n, self.dimension, purpose, self.device), labels, ids, names)
        none = Features.empty(self.dimension, names).to(self.device)
        memory = self.memory(texts=texts)
        dataset = Dataset(
            card=Card(name="made-up", revision="1", encoder="none", space="made-up"),
            class_names=names,
            splits={"query": queries},
            roles={"query": ("query",)},
            prompts=none,
            memory=memory,
        )
        return Session(task=make_task(dataset, range(self.classes), support=none, memory=memory), queries=queries)

    def cost(self, method: Method, n: int, *, texts: float = 0.0, training: int = 0) -> Mapping[str, Any]:
        """Return what a method costs on n queries, after it has trained on so many images; a record's columns."""
        episode = Episode(
            sessions=(self.session(n, texts=texts, purpose="queries"),),
            training=self.session(training, texts=texts, purpose="training") if training else None,
        )
        return answers(method, episode, self.device)[0].cost
