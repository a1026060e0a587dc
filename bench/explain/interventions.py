"""Interventions on an episode: items left out, or found under another class's name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Episode, Task
from bench.utils.errors import BenchError
from bench.utils.names import plain
from bench.utils.whole_numbers import whole_number


def nearest(word: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or an example where nothing is near: ids are too many to list."""
    known = sorted(set(names))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {len(known)}, for instance {known[0]!r}" if known else "; there are none"


def parse_relabels(lines: Sequence[str], class_names: Sequence[str]) -> dict[str, int]:
    """Return the class id each item is to have, for ``ITEM=CLASS`` with a class's name or id."""
    by_name = {plain(name): label for label, name in enumerate(class_names)}
    found = {}
    for line in lines:
        item, equals, name = line.rpartition("=")
        if not equals or not item:
            raise BenchError(f"--relabel {line!r} is not ITEM=CLASS; write for instance web/3=cat")
        label = by_name.get(plain(name), whole_number(name))
        if label is None or not 0 <= label < len(class_names):
            raise BenchError(f"--relabel {line!r}: the data set has no class {name!r}{nearest(name, class_names)}")
        found[item] = label
    return found


def intervene(episode: Episode, last: int, exclude: Collection[str], relabel: Mapping[str, int]) -> Episode:
    """Return the episode with some items of sessions 0 to ``last`` left out or relabelled.

    Support, memory and the memory of prototypes are edited. What a method was trained on (seen classes) stays, so the
    question is what the trained method makes of another memory.

    Raises
    ------
    BenchError
        If no session holds an item, or an item's new class is none of the classes of a task that holds it.
    """
    sessions = episode.sessions[: last + 1]
    known = {name for session in sessions for items in _parts(session.task) for name in items.ids.tolist()}
    for item in (*exclude, *relabel):
        if item not in known:
            raise BenchError(f"no support or memory item {item!r} up to session {last}{nearest(item, known)}")
    return replace(
        episode,
        sessions=tuple(
            replace(
                session,
                task=_edited(session.task, exclude, relabel),
                edit=session.edit
                and replace(session.edit, removed=tuple(i for i in session.edit.removed if i not in exclude)),
            )
            for session in sessions
        ),
    )


def _parts(task: Task) -> list[Items | Features]:
    more = task.prototype_memory
    own: list[Items | Features] = [task.support, task.memory.images, task.memory.texts]
    return own + ([] if more is None else [more.images, more.texts])


def _edited(task: Task, exclude: Collection[str], relabel: Mapping[str, int]) -> Task:
    present = {name for items in _parts(task) for name in items.ids.tolist()}
    for item, label in relabel.items():
        if item in present and label not in task.classes:
            raise BenchError(
                f"cannot relabel {item!r} to class {label}: session {task.session} does not know that class; give one "
                f"that it knows, for instance {task.class_names[0]!r}"
            )

    def labels_of(items: Items | Features) -> torch.Tensor:
        labels = items.labels.clone()
        for item, label in relabel.items():
            labels[torch.from_numpy(items.ids == item).to(labels.device)] = label
        return labels

    def stays(items: Items | Features) -> np.ndarray:
        return ~np.isin(items.ids, sorted(exclude))

    def memory(of: Memory) -> Memory:
        parts = (replace(items, labels=labels_of(items)).take(stays(items)) for items in (of.images, of.texts))
        return Memory(*parts)

    return replace(
        task,
        support=replace(task.support, labels=labels_of(task.support)).take(stays(task.support)),
        memory=memory(task.memory),
        prototype_memory=None if task.prototype_memory is None else memory(task.prototype_memory),
    )
