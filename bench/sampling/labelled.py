"""The frame of scenarios that deal labelled images of the classes they ask about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import Session
from bench.sampling.few_shot import Problem
from bench.sampling.sessions import assert_disjoint, make_task, shots, split_disjoint
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Labelled:
    """Queries outside a memory, and labelled images outside the queries.

    Attributes
    ----------
    ids : tuple of int
        The classes.
    pool : Features
        All labelled images that can be dealt.
    lost : dict
        How many queries and images were left out, for the notes.
    """

    dataset: Dataset
    ids: tuple[int, ...]
    queries: Features
    pool: Features
    lost: dict[str, int]

    @staticmethod
    def of(dataset: Dataset, ids: tuple[int, ...], memory: Memory) -> Labelled:
        """Return the images and queries of some classes beside the memory that a scenario takes."""
        return Labelled(dataset, ids, *split_disjoint(dataset, ids, memory))

    def shots(
        self, count: int | None, rng: Stream, *, of: Features | None = None, classes: Sequence[int] | None = None
    ) -> Features:
        """Return ``count`` images of each class, of all images or some; see :func:`bench.sampling.sessions.shots`."""
        pool = self.pool if of is None else of
        pool, wanted = (pool, self.ids) if classes is None else (pool.of_classes(classes), tuple(classes))
        return shots(pool, count, rng, dataset=self.dataset.name, classes=wanted)

    def session(
        self,
        support: Features,
        memory: Memory,
        origin: str,
        notes: Mapping[str, Any] = MappingProxyType({}),
        problem: Problem | None = None,
    ) -> Session:
        """Return a session of labelled images and a memory; an error if an image is also a query.

        Parameters
        ----------
        origin : str
            Where the images of the memory are from, for the notes.
        problem : Problem, optional
            Some of the classes and their queries; all unless given.
        """
        classes, queries, number = self.ids, self.queries, 0
        if problem is not None:
            classes, queries, number = problem.classes, problem.queries, problem.number
        assert_disjoint(self.dataset.name, {"support": support, "queries": queries})
        task = make_task(self.dataset, classes, support=support, memory=memory, session=number)
        return Session(task=task, queries=queries, notes={"memory": origin, **self.lost, **notes})
