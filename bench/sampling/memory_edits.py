"""Edits of a memory, written as lines of a script, and the memory after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.learning.pruning import misleading_counts
from bench.sampling import noise
from bench.sampling.class_split import class_order
from bench.utils.errors import BenchError, suggest
from bench.utils.random import Stream

ACTIONS = ("add-class", "add-source", "remove", "forget-class", "forget-source", "relabel", "prune", "prune-soft")
"""What an edit can be; docs/concepts/tasks.md says what each does."""

REMOVALS = ("remove", "forget-class", "forget-source", "prune")
"""Edits after which nothing is there that was not there before."""

_NUMBERS = {"remove": 0.1, "relabel": 0.1, "prune": 128.0}
"""The share of image items, or the count, of an edit that names nothing."""


@dataclass(frozen=True)
class Step:
    """One parsed line of a script of edits.

    Attributes
    ----------
    names : tuple of str
        Ids of items, sources, or ``ID=CLASS``.
    classes : tuple of int
        Class ids.
    number : float or None
        A share of the image items, or a count.
    """

    action: str
    names: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    number: float | None = None


def edits_sources(lines: Sequence[str]) -> bool:
    """Return whether a line of a script adds or forgets a source."""
    return any(line.partition(":")[0].endswith("-source") for line in lines)


def steps(lines: Sequence[str], dataset: Dataset, memory: Memory, classes: Sequence[int], rng: Stream) -> list[Step]:
    """Return a script's steps; unnamed classes are drawn, each another one, and none that is named.

    Raises
    ------
    BenchError
        For an unknown edit, and for items, classes and sources that are nowhere in the memory.
    """
    read = [_read(line, dataset, memory, classes) for line in lines]
    named = {c for step in read for c in step.classes}
    free = [c for c in classes if c not in named]
    drawn = iter(class_order(dataset.class_names, free, rng.child("classes")))
    for place, step in enumerate(read):
        if step.action.endswith("-class") and not step.classes:
            one = tuple(itertools.islice(drawn, 1))
            if not one:
                raise BenchError(f"lifecycle.script: no class is left for {lines[place]!r}; use fewer edits of classes")
            read[place] = replace(step, classes=one)
    added = [c for step in read if step.action == "add-class" for c in step.classes]
    if len(set(added)) < len(added):
        raise BenchError("lifecycle.script: a class is added twice; name each in one add-class")
    return read


def _read(line: str, dataset: Dataset, memory: Memory, classes: Sequence[int]) -> Step:
    """Return the step of one line; a class that is not named is left open."""
    action, _, text = line.partition(":")
    images, texts = memory.images, memory.texts
    of_class = {dataset.class_names[c] for c in classes}.__contains__
    if action not in ACTIONS:
        raise BenchError(f"lifecycle.script: unknown edit {action!r}{suggest(action, ACTIONS)}")
    if action == "prune-soft":
        if line != action:
            raise BenchError(f"lifecycle.script: {line!r}; prune-soft stands alone, it changes every item's vote")
        return Step(action)
    if action.endswith("-class"):
        names = _names(text, of_class)
        return Step(action, classes=tuple(_class(name, dataset, classes) for name in names))
    if action.endswith("-source"):
        known = _sources(memory)
        sources = _names(text, known.__contains__) or (_second_source(memory, line),)
        return Step(action, names=_known("source", sources, known))
    if action == "remove" and text and not _is_number(text):
        known = {*images.ids.tolist(), *texts.ids.tolist()}
        return Step(action, names=_known("item", _names(text, known.__contains__), known))
    if action == "relabel" and "=" in text:
        is_id = set(images.ids.tolist()).__contains__
        pairs = _names(text, lambda pair: is_id(pair.rpartition("=")[0]) and of_class(pair.rpartition("=")[2]))
        relabelled(dataset, images, classes, pairs)
        return Step(action, names=pairs)
    return Step(action, number=_number(action, text) if text else _NUMBERS[action])


def relabelled(dataset: Dataset, images: Items, classes: Sequence[int], pairs: Sequence[str]) -> Items:
    """Return the images with each ``ID=CLASS`` done."""
    labels = images.labels.clone()
    for pair in pairs:
        name, _, label = pair.rpartition("=")
        rows = np.flatnonzero(images.ids == name)
        if not len(rows):
            raise BenchError(f"the memory holds no image {name!r} to relabel; look with `bench data inspect`")
        labels[int(rows[0])] = _class(label, dataset, classes)
    return replace(images, labels=labels)


# -- what is there ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MemoryState:
    """The memory as it is, the items still to come, their sources, the classes that have come, how votes count."""

    memory: Memory
    reserve: Memory
    sources_to_come: frozenset[str]
    classes: tuple[int, ...]
    soft_pruning: bool = False

    @staticmethod
    def before(script: Sequence[Step], memory: Memory, classes: Sequence[int]) -> MemoryState:
        """Return what is there without the classes and sources that the script will add."""
        late = {c for step in script if step.action == "add-class" for c in step.classes}
        sources = frozenset(s for step in script if step.action == "add-source" for s in step.names)
        start = memory.remove(classes=late & _classes(memory), sources=sources)
        return MemoryState(start, _rest(memory, start), sources, tuple(c for c in classes if c not in late))

    def after(self, step: Step, dataset: Dataset, *, neighbours: int, rng: Stream) -> MemoryState:
        """Return what is there after a step; ``neighbours`` are looked at in leave-one-out retrieval for pruning."""
        memory, images = self.memory, self.memory.images
        if step.action == "prune-soft":
            return replace(self, soft_pruning=True)
        if step.action in ("add-class", "add-source"):
            return self._arrived(step)
        if step.action == "relabel":
            if step.number is None:
                changed = relabelled(dataset, images, self.classes, step.names)
            else:
                changed = noise.wrong_class(images, self.classes, step.number, rng=rng).items
            return replace(self, memory=memory.replace(images=changed))
        if step.action == "forget-class":
            # Earlier edits may have left nothing of a class or a source.
            return replace(self, memory=memory.remove(classes=_classes(memory) & set(step.classes)))
        if step.action == "forget-source":
            return replace(self, memory=memory.remove(sources=_sources(memory) & set(step.names)))
        if step.number is None:
            return replace(self, memory=memory.remove(ids=step.names))
        if step.action == "prune":
            gone = misleading_counts(images, neighbours).cpu().numpy() >= step.number
        else:
            gone = np.zeros(len(images), dtype=bool)
            gone[noise.affected(images.ids, step.number, rng).numpy()] = True
        return replace(self, memory=memory.replace(images=images.take(~gone)))

    def _arrived(self, step: Step) -> MemoryState:
        """Return what is there after classes or sources have come: an item comes when both its own have."""
        classes = self.classes + step.classes
        to_come = self.sources_to_come - set(step.names)

        def come(items: Items) -> Items:
            return items.take(np.isin(items.labels.cpu(), classes) & ~np.isin(items.sources, list(to_come)))

        new = Memory(come(self.reserve.images), come(self.reserve.texts))
        memory = self.memory.add(images=new.images, texts=new.texts)
        reserve = _rest(self.reserve, new)
        return replace(self, memory=memory, reserve=reserve, sources_to_come=to_come, classes=classes)


def _classes(memory: Memory) -> set[int]:
    return {*memory.images.labels.unique().tolist(), *memory.texts.labels.unique().tolist()}


def _sources(memory: Memory) -> set[str]:
    return {*np.unique(memory.images.sources).tolist(), *np.unique(memory.texts.sources).tolist()}


def _rest(memory: Memory, taken: Memory) -> Memory:
    return Memory(
        memory.images.take(~np.isin(memory.images.ids, taken.images.ids)),
        memory.texts.take(~np.isin(memory.texts.ids, taken.texts.ids)),
    )


# -- what a line says ------------------------------------------------------------------------------------------------


def _names(text: str, known: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the names that ``+`` joins; what is known as a whole is one name, even with a ``+`` in it."""
    parts, found = text.split("+") if text else [], []
    while parts:
        joined = ["+".join(parts[:n]).strip() for n in range(len(parts), 0, -1)]
        name = next((j for j in joined if known(j)), joined[-1])
        found.append(name)
        parts = parts[len(parts) - joined.index(name) :]
    return tuple(name for name in found if name)


def _known(kind: str, names: tuple[str, ...], known: Collection[str]) -> tuple[str, ...]:
    missing = sorted(name for name in names if name not in known)
    if missing:
        raise BenchError(f"the memory holds no {kind} {missing[0]!r}; look with `bench data inspect`")
    return names


def _class(name: str, dataset: Dataset, classes: Sequence[int]) -> int:
    known = {dataset.class_names[c]: c for c in classes}
    if name not in known:
        raise BenchError(f"lifecycle.script: {name!r} is no class of data set {dataset.name}{suggest(name, known)}")
    return known[name]


def _second_source(memory: Memory, line: str) -> str:
    names, counts = np.unique(memory.images.sources, return_counts=True)
    if len(names) < 2:
        raise BenchError(f"lifecycle.script: {line!r} needs image items of two sources; name a source, or add items")
    return str(names[np.lexsort((names, -counts))[1]])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(action: str, text: str) -> float:
    if not _is_number(text):
        raise BenchError(f"lifecycle.script: {action}:{text} needs a number; write for instance {action}:0.1")
    number = float(text)
    if action == "prune" and not (number >= 1 and number.is_integer()):
        raise BenchError(f"lifecycle.script: {action}:{text} needs a whole number of others from 1 up")
    if action != "prune" and not 0 <= number <= 1:
        raise BenchError(f"lifecycle.script: {action}:{text} needs a share from 0 to 1, such as {action}:0.1")
    return number
