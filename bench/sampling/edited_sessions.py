"""The sessions of a memory that is edited step by step, and what each edit did, for the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.core.task import Edit, Session
from bench.sampling.memory_edits import REMOVALS, MemoryState, Step, edits_sources
from bench.sampling.memory_source import simulated_sources
from bench.sampling.sessions import make_task
from bench.utils.random import Stream


def with_sources(script: Sequence[str], memory: Memory, dataset: Dataset) -> tuple[Memory, dict[str, str]]:
    """Return the memory, with simulated sources if a script edits one and all images have the same.

    Where sources are simulated, the condition is to say so, as returned; else that is empty.
    """
    if not edits_sources(script) or len(np.unique(memory.images.sources)) != 1:
        return memory, {}
    return memory.replace(images=simulated_sources(memory.images, dataset)), {"sources": "simulated for images"}


def played(
    dataset: Dataset, whole: Session, script: Sequence[Step], memory: Memory, *, neighbours: int, rng: Stream
) -> tuple[Session, ...]:
    """Return the session before all steps and one after each.

    Parameters
    ----------
    whole : Session
        All classes with all queries, clear of every item that is there at any time.
    memory : Memory
        All items that are there at any time.
    neighbours : int
        Neighbours that are looked at in leave-one-out retrieval for pruning.
    """
    state = MemoryState.before(script, memory, whole.task.classes)
    sessions = [session_of(dataset, whole, state)]
    for number, step in enumerate(script, start=1):
        before = state
        state = state.after(step, dataset, neighbours=neighbours, rng=rng.child("edit", number))
        sessions.append(edited(session_of(dataset, whole, state, number), step, before.memory, dataset.class_names))
    return tuple(sessions)


def session_of(dataset: Dataset, whole: Session, memory_state: MemoryState, number: int = 0) -> Session:
    """Return the session of what is there: all classes that have come, and their queries."""
    task = make_task(
        dataset, memory_state.classes, support=whole.task.support, memory=memory_state.memory, session=number
    )
    return Session(
        task=replace(task, soft_pruning=memory_state.soft_pruning),
        queries=whole.queries.of_classes(memory_state.classes),
        notes={**whole.notes, "edit": "none"},
    )


def edited(session: Session, step: Step, before: Memory, names: Sequence[str]) -> Session:
    """Return the session with what the step did to the memory before it, in its notes and for the harness."""
    memory = session.task.memory
    old, new = _ids(before), _ids(memory)
    removed = tuple(sorted(old - new))
    notes: dict[str, Any] = {
        "edit": step.action,
        "of": [*(names[c] for c in step.classes), *step.names, *([] if step.number is None else [step.number])],
        "items_added": len(new - old),
        "items_removed": len(removed),
    }
    if step.action == "relabel":
        notes["relabelled"] = _moved(before.images, memory.images, names)
    edit = Edit(removed=removed, only_removes=step.action in REMOVALS)
    return replace(session, notes={**session.notes, **notes}, edit=edit)


def _moved(before: Items, after: Items, names: Sequence[str]) -> list[list[str]]:
    """Return of each item that was relabelled its id and both class names; the items are the same and in one order."""
    rows = (before.labels != after.labels).nonzero().squeeze(1).cpu()
    old, new = before.labels[rows].tolist(), after.labels[rows].tolist()
    return [[str(i), names[a], names[b]] for i, a, b in zip(before.ids[rows.numpy()], old, new, strict=True)]


def _ids(memory: Memory) -> set[str]:
    return {*memory.images.ids.tolist(), *memory.texts.ids.tolist()}
