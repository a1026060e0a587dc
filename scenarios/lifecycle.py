"""A memory edited step by step, and the effect of each edit on the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.edited_sessions import played, with_sources
from bench.sampling.memory_edits import steps
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import memory_session
from bench.utils.random import Stream


@scenario("lifecycle")
@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Edit a memory step by step; each step is a session that is scored on all classes that have come so far.

    After Geirhos et al., Towards Flexible Perception with Visual Memory, 2024, arXiv:2408.08172. Each class is scored
    by itself in the records, so the accuracy on old and new classes follows from them.

    Attributes
    ----------
    script : tuple of str
        The edits, in order, each ``ACTION`` or ``ACTION:WHAT``; docs/concepts/tasks.md says what there is.
    neighbours : int
        Neighbours that are looked at in leave-one-out retrieval for pruning.
    """

    script: tuple[str, ...] = ("add-class", "add-source", "remove", "relabel", "prune", "forget-source", "forget-class")
    neighbours: Annotated[int, Ge(1)] = 100
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: the script; simulated sources are said."""
        ids = eligible(dataset, self.classes)
        memory, sources = with_sources(self.script, choose_memory(dataset, self.memory)[0].restrict(ids), dataset)
        # Read before anything is run, so that a line that names nothing is refused then.
        steps(self.script, dataset, memory, ids, Stream(0))
        yield {**departures(dataset, self.classes, self.memory), **sources, "script": list(self.script)}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return the session before all edits and one after each."""
        ids = eligible(dataset, self.classes)
        # Queries stay clear of every item that is there at any time, so they mean the same throughout.
        whole = memory_session(dataset, ids, *choose_memory(dataset, self.memory))
        memory, sources = with_sources(self.script, whole.task.memory, dataset)
        whole = replace(whole, notes={**whole.notes, "simulated_sources": bool(sources)})
        script = steps(self.script, dataset, memory, ids, rng)
        return Episode(sessions=played(dataset, whole, script, memory, neighbours=self.neighbours, rng=rng))
