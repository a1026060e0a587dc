"""A memory edited step by step, and the effect of each edit on the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.edited_sessions import edited, session_of
from bench.sampling.memory_edits import MemoryState, steps
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures, simulated_sources
from bench.sampling.sessions import memory_session
from bench.utils.random import Stream


@scenario("lifecycle")
@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Edit a memory step by step; each step is a session that is scored on all classes that have come so far.

    After Geirhos et al., Towards Flexible Perception with Visual Memory, 2024, arXiv:2408.08172. An edit is written
    ``ACTION`` or ``ACTION:WHAT``, where several names are joined by ``+`` (which may be part of a name too):

    - ``add-class[:NAMES]`` a class that was kept back arrives with its items; unnamed, one drawn by seed.
    - ``add-source[:NAME]`` the items of a source that was kept back arrive; unnamed, those of the second source.
    - ``remove[:IDS]`` items go; a number is a share of the image items, drawn by seed; unnamed, 0.1.
    - ``forget-class[:NAMES]`` all items of a class go; its queries and its class text stay, which is not an item.
    - ``forget-source[:NAME]`` all items of a source go; unnamed, those of the second source.
    - ``relabel[:SHARE]`` a share of the image items comes under another class's name, drawn by seed; unnamed, 0.1.
      ``relabel:ID=CLASS`` puts a named one under a named class. The notes hold each with both names.
    - ``prune[:COUNT]`` image items go that misled at least COUNT others; unnamed, 128.
    - ``prune-soft`` no item goes; from here on the vote of each counts for less the more others it misled. That is for
      methods that weigh the votes of items (``visual-memory``, which says how); the others answer as before.

    Each class is scored by itself in the records, so the accuracy on old and new classes follows from them. Where the
    script edits a source and all images have the same, two are simulated, ``A`` and ``B``, halves of each class.

    Attributes
    ----------
    script : tuple of str
        The edits, in order.
    neighbours : int
        Neighbours that are looked at in leave-one-out retrieval for pruning.
    """

    script: tuple[str, ...] = ("add-class", "add-source", "remove", "relabel", "prune", "forget-source", "forget-class")
    neighbours: Annotated[int, Ge(1)] = 100
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the one condition: the script; simulated sources are said."""
        ids = eligible(dataset, self.classes)
        told = departures(dataset, self.classes, self.memory)
        memory, simulated = self._with_sources(dataset, choose_memory(dataset, self.memory)[0].restrict(ids))
        if simulated:
            told["sources"] = "simulated for images"
        # Read before anything is run, so that a line that names nothing is refused then.
        steps(self.script, dataset, memory, ids, Stream(0))
        yield {**told, "script": list(self.script)}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return the session before all edits and one after each."""
        ids = eligible(dataset, self.classes)
        memory, origin = choose_memory(dataset, self.memory)
        # Queries stay clear of every item that is there at any time, so they mean the same throughout.
        whole = memory_session(dataset, ids, memory, origin)
        memory, simulated = self._with_sources(dataset, whole.task.memory)
        whole = replace(whole, notes={**whole.notes, "simulated_sources": simulated})
        script = steps(self.script, dataset, memory, ids, rng)
        memory_state = MemoryState.before(script, memory, ids)
        sessions = [session_of(dataset, whole, memory_state)]
        for number, step in enumerate(script, start=1):
            before = memory_state
            memory_state = memory_state.after(step, dataset, neighbours=self.neighbours, rng=rng.child("edit", number))
            sessions.append(
                edited(session_of(dataset, whole, memory_state, number), step, before.memory, dataset.class_names)
            )
        return Episode(sessions=tuple(sessions))

    def _with_sources(self, dataset: Dataset, memory: Memory) -> tuple[Memory, bool]:
        """Return the memory with simulated sources, if the script edits a source and its images have but one."""
        edits = any(line.partition(":")[0].endswith("-source") for line in self.script)
        if not edits or len(np.unique(memory.images.sources)) != 1:
            return memory, False
        return memory.replace(images=simulated_sources(memory.images, dataset)), True
