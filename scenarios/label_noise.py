"""Training labels that are wrong, under clean queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling import noise
from bench.sampling.class_split import Classes, eligible
from bench.sampling.memory_source import declared_memory, departures
from bench.sampling.sessions import assert_disjoint, make_task, shots, split_disjoint
from bench.utils.errors import BenchError, suggest
from bench.utils.random import Stream


@scenario("label-noise")
@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """A share of the support's labels is wrong; one condition per rate, and higher rates include lower ones.

    Kang et al., Memory-Modular Classification, TMLR 2025, section 4.4: the memory's own labels are left alone.

    Attributes
    ----------
    rates : tuple of float
        Shares of the support's labels to change.
    kind : str
        ``symmetric``: to any other class. ``uniform``: to any class, its own among them; rate 1 leaves chance.
        ``asymmetric``: to the most confusable class. ``pair-flip``: to the next class. ``transition``: by
        ``transition``. ``recorded``: by ``recorded``.
    confusable : mapping of str to str
        For ``asymmetric``, the class each class is mistaken for, by name; one that is not given is the class whose
        mean over the clean support is nearest.
    transition : tuple of tuples
        For ``transition``, one row of shares for each class that takes part, in the order of class ids.
    recorded : mapping of str to str
        For ``recorded``, class names by support id; a rate is the share of the wrong ones among them that is used.
    memory : str
        ``declared`` by the data set; ``held-out`` takes every second support image of a class for a clean memory;
        ``none`` lets methods retrieve from the noisy support; ``auto`` is the first if it has images, else the last.
    """

    rates: Annotated[tuple[float, ...], MinLen(1)] = (0.0, 0.1, 0.2, 0.3, 0.4)
    kind: Literal["symmetric", "uniform", "asymmetric", "pair-flip", "transition", "recorded"] = "symmetric"
    shots: Annotated[int, Ge(1)] | None = None
    confusable: Mapping[str, str] = field(default_factory=dict)
    transition: tuple[tuple[float, ...], ...] | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)
    memory: Literal["auto", "declared", "held-out", "none"] = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the rates."""
        told = departures(dataset, self.classes)
        if self.memory == "held-out":
            told["memory"] = "held-out support"
        self._check(dataset)
        for rate in self.rates:
            yield {**told, "noise": self.kind, "rate": rate}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session whose support has wrong labels; the notes hold each with the label it had."""
        ids = eligible(dataset, self.classes)
        queries, pool, lost = split_disjoint(dataset, ids, dataset.memory)
        clean, memory, origin = self._memory(dataset, pool, rng)
        clean = shots(clean, self.shots, rng, dataset=dataset.name, classes=ids)
        assert_disjoint(dataset.name, {"support": clean, "queries": queries})
        noisy, rows = self._noisy(dataset, ids, clean, condition["rate"], rng.child("noise"))
        changed = rows[noisy.labels[rows] != clean.labels[rows]].tolist()
        names = dataset.class_names
        notes = {
            "memory": origin,
            **lost,
            "labels_drawn": len(rows),
            "labels_changed": len(changed),
            "changed": [[str(clean.ids[r]), names[int(clean.labels[r])], names[int(noisy.labels[r])]] for r in changed],
        }
        task = make_task(dataset, ids, support=noisy, memory=memory)
        return Episode(sessions=(Session(task=task, queries=queries, notes=notes),))

    def _check(self, dataset: Dataset) -> None:
        """Refuse what is known to be wrong before anything is run."""
        for rate in self.rates:
            noise.check_rate(rate)
        if self.memory == "declared":
            declared_memory(dataset, "label-noise.memory")
        ids = eligible(dataset, self.classes)
        for name in (*self.confusable, *self.confusable.values(), *self.recorded.values()):
            self._class(dataset, ids, name)
        noise.check_recorded(self.recorded, dataset.role("support").ids)
        if self.kind == "transition":
            noise.transition("transition", len(ids), matrix=self.transition)
        if self.kind == "recorded" and not self.recorded:
            raise BenchError("label-noise.kind=recorded but no label is; give label-noise.recorded, class names by id")

    def _memory(self, dataset: Dataset, pool: Features, rng: Stream) -> tuple[Features, Memory, str]:
        """Return the images to learn from, the memory, and where its images are from."""
        if self.memory == "declared" or (self.memory == "auto" and len(dataset.memory.images)):
            return pool, declared_memory(dataset, "label-noise.memory"), "declared"
        if self.memory == "held-out":
            half = torch.zeros(len(pool), dtype=torch.bool)
            for label in np.unique(pool.labels.numpy()).tolist():
                rows = (pool.labels == label).nonzero().squeeze(1)
                half[rows[torch.from_numpy(rng.child("held-out", label).permutation(len(rows)))[1::2]]] = True
            images = Items.of_features(pool.take(half), "held-out support")
            return pool.take(~half), dataset.memory.replace(images=images), "half of the support, with clean labels"
        bare = Memory(dataset.memory.images.take([]), dataset.memory.texts)
        return pool, bare, "none; methods retrieve from the noisy support"

    def _noisy(
        self, dataset: Dataset, ids: tuple[int, ...], clean: Features, rate: float, rng: Stream
    ) -> tuple[Features, torch.Tensor]:
        order = torch.tensor(ids)
        columns = torch.searchsorted(order, clean.labels)
        if self.kind == "recorded":
            # A support image that was not dealt (other shots, the clean half) is no stranger.
            unused = set(dataset.role("support").ids.tolist()) - set(clean.ids.tolist())
            given = {
                name: ids.index(self._class(dataset, ids, label))
                for name, label in self.recorded.items()
                if name not in unused
            }
            result = noise.recorded(columns, clean.ids, given, rate, rng=rng)
        else:
            result = noise.relabel(columns, rate, self._matrix(dataset, ids, clean.x, columns), rng=rng)
        return replace(clean, labels=order[result.labels]), result.rows

    def _matrix(self, dataset: Dataset, ids: tuple[int, ...], x: torch.Tensor, columns: torch.Tensor) -> np.ndarray:
        assert self.kind != "recorded"
        partners = None
        if self.kind == "asymmetric":
            partners = noise.confusable(x, columns, len(ids))
            for name, other in self.confusable.items():
                at, to = (ids.index(self._class(dataset, ids, each)) for each in (name, other))
                partners[at] = to
        return noise.transition(self.kind, len(ids), partners=partners, matrix=self.transition)

    def _class(self, dataset: Dataset, ids: tuple[int, ...], name: str) -> int:
        known = {dataset.class_names[c]: c for c in ids}
        if name not in known:
            raise BenchError(f"label-noise: {name!r} is no class of data set {dataset.name}{suggest(name, known)}")
        return known[name]
