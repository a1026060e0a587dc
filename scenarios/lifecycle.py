"""The life of a memory: a script of edits, and what each does to the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge

from bench import noise
from bench.dealing import Classes, MemoryChoice, choose_memory, eligible, make_task, memory_session, two_sources
from bench.errors import BenchError, suggest
from bench.memory import Items, Memory
from bench.registry import scenario
from bench.search import top_k
from bench.streams import Stream
from bench.task import Dataset, Edit, Episode, Session

ACTIONS = ("add-class", "add-source", "remove", "forget-class", "forget-source", "relabel", "prune", "prune-soft")
"""What an edit can be; see :class:`Lifecycle`."""

REMOVALS = ("remove", "forget-class", "forget-source", "prune")
"""Edits after which nothing is there that was not there before."""


Names = list[str] | list[int] | list[float]
"""What an edit is done to: item ids or sources, class ids, or one number."""


@dataclass(frozen=True, eq=False)
class _Shelf:
    """The memory as it is, the items still to come, their sources, the classes that have come, how votes count."""

    memory: Memory
    reserve: Memory
    sources_to_come: frozenset[str]
    classes: tuple[int, ...]
    soft_pruning: bool = False


@scenario("lifecycle")
@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Edit a memory step by step; each step is a session that is scored on all classes that have come so far.

    After Geirhos et al., Towards Flexible Perception with Visual Memory, 2024, arXiv:2408.08172. An edit is written
    ``ACTION`` or ``ACTION:WHAT``, where several names are joined by ``+``:

    - ``add-class[:NAMES]`` a class that was kept back arrives with its items; unnamed, one drawn by seed.
    - ``add-source[:NAME]`` the items of a source that was kept back arrive; unnamed, those of the second source.
    - ``remove[:IDS]`` items go; a number is a share of the image items, drawn by seed; unnamed, 0.1.
    - ``forget-class[:NAMES]`` all items of a class go; its queries stay, and so does its class text, which is no item.
    - ``forget-source[:NAME]`` all items of a source go; unnamed, those of the second source.
    - ``relabel[:SHARE]`` a share of the image items comes under another class's name, drawn by seed; unnamed, 0.1.
      ``relabel:ID=CLASS`` puts a named one under a named class.
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
        """Yield the one condition: the script."""
        for line in self.script:
            action = line.partition(":")[0]
            if action not in ACTIONS:
                raise BenchError(f"lifecycle.script: unknown edit {action!r}{suggest(action, ACTIONS)}")
            if action == "prune-soft" and line != action:
                raise BenchError(f"lifecycle.script: {line!r}; prune-soft stands alone, it changes every item's vote")
        yield {"script": list(self.script)}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return the session before all edits and one after each."""
        ids = eligible(dataset, self.classes)
        memory, origin = choose_memory(dataset, self.memory)
        # Queries stay clear of every item that is there at any time, so they mean the same throughout.
        whole = memory_session(dataset, ids, memory, origin)
        memory, simulated = self._with_sources(dataset, whole.task.memory)
        script = self._script(dataset, memory, ids, rng)
        shelf = _start(memory, script, ids)
        base = {"simulated_sources": simulated}
        sessions = [self._session(dataset, whole, shelf, shelf.memory, number=0, notes={"edit": "none", **base})]
        for number, (action, what) in enumerate(script, start=1):
            before = shelf.memory
            shelf = self._edited(dataset, shelf, action, what, rng.child("edit", number))
            of = [dataset.class_names[int(c)] for c in what] if action.endswith("-class") else what
            notes = {"edit": action, "of": of, **base}
            sessions.append(self._session(dataset, whole, shelf, before, number=number, notes=notes))
        return Episode(sessions=tuple(sessions))

    def _with_sources(self, dataset: Dataset, memory: Memory) -> tuple[Memory, bool]:
        """Return the memory with simulated sources, if the script edits a source and its images have but one."""
        edits = any(line.partition(":")[0].endswith("-source") for line in self.script)
        if not edits or len(np.unique(memory.images.sources)) > 1:
            return memory, False
        first, second, _, simulated = two_sources(memory.images, dataset)
        return memory.replace(images=Items.concat([first, second])), simulated

    def _script(self, dataset: Dataset, memory: Memory, ids: Sequence[int], rng: Stream) -> list[tuple[str, Names]]:
        """Return each edit with what it is done to; unnamed classes are drawn by seed, each another one."""
        drawn = iter([ids[i] for i in rng.child("classes").permutation(len(ids))])
        script: list[tuple[str, Names]] = []
        for line in self.script:
            action, _, text = line.partition(":")
            names = [part.strip() for part in text.split("+") if part.strip()]
            what: Names = names
            if action.endswith("-class"):
                what = [_class(dataset, ids, name) for name in names] or [next(drawn)]
            elif action == "prune-soft":
                what = []
            elif action.endswith("-source"):
                what = names or [_second_source(memory)]
            elif action == "prune" or not text or _is_number(text) or (action == "relabel" and "=" not in text):
                what = [_number(action, text or ("128" if action == "prune" else "0.1"))]
            script.append((action, what))
        return script

    def _edited(self, dataset: Dataset, shelf: _Shelf, action: str, what: Names, rng: Stream) -> _Shelf:
        """Return what is there after an edit."""
        memory = shelf.memory
        if action == "prune-soft":
            return replace(shelf, soft_pruning=True)
        if action in ("add-class", "add-source"):
            return _arrived(shelf, action, what)
        if action == "relabel":
            if isinstance(what[0], float):
                images = noise.wrong_class(memory.images, shelf.classes, what[0], rng=rng).items
            else:
                images = _relabelled(dataset, memory.images, shelf.classes, [str(w) for w in what])
            return replace(shelf, memory=memory.replace(images=images))
        if action == "forget-class":
            return replace(shelf, memory=memory.remove(classes=[int(c) for c in what]))
        if action == "forget-source":
            return replace(shelf, memory=memory.remove(sources=[str(s) for s in what]))
        if action == "prune":
            gone = memory.images.ids[misleading(memory.images, self.neighbours) >= float(what[0])]
        elif isinstance(what[0], float):
            gone = memory.images.ids[noise.affected(len(memory.images), what[0], rng).numpy()]
        else:
            gone = np.array(what)
        return replace(shelf, memory=memory.remove(ids=gone.tolist()))

    def _session(
        self,
        dataset: Dataset,
        whole: Session,
        shelf: _Shelf,
        before: Memory,
        *,
        number: int,
        notes: Mapping[str, Any],
    ) -> Session:
        old, new = _ids(before), _ids(shelf.memory)
        removed = tuple(sorted(old - new))
        counts = {"items_added": len(new - old), "items_removed": len(removed)}
        task = make_task(dataset, shelf.classes, support=whole.task.support, memory=shelf.memory, session=number)
        return Session(
            task=replace(task, soft_pruning=shelf.soft_pruning),
            queries=whole.queries.of_classes(shelf.classes),
            notes={**whole.notes, **notes, **counts},
            edit=Edit(removed=removed, only_removes=notes["edit"] in REMOVALS) if number else None,
        )


def misleading(items: Items, neighbours: int) -> np.ndarray:
    """Return of how many others each item is one of the nearest although its class is another, int64 [m].

    Each item is looked up among the others (leave-one-out).
    """
    near = top_k(items.x, items.x, neighbours + 1).positions.cpu()
    own = near == torch.arange(len(items)).unsqueeze(1)
    # Behind duplicates an item may miss its own list; then the last neighbour is one too many.
    own[:, -1] |= ~own.any(1)
    labels = items.labels.cpu()
    wrong = (labels[near] != labels.unsqueeze(1)) & ~own
    return torch.bincount(near[wrong], minlength=len(items)).numpy()


def _class(dataset: Dataset, ids: Sequence[int], name: str) -> int:
    known = {dataset.class_names[c]: c for c in ids}
    if name not in known:
        raise BenchError(f"lifecycle.script: {name!r} is no class of data set {dataset.name}{suggest(name, known)}")
    return known[name]


def _relabelled(dataset: Dataset, images: Items, classes: Sequence[int], pairs: Sequence[str]) -> Items:
    """Return the images with each ``ID=CLASS`` done."""
    labels = images.labels.clone()
    for pair in pairs:
        name, _, label = pair.rpartition("=")
        rows = np.flatnonzero(images.ids == name)
        if not len(rows):
            raise BenchError(f"the memory holds no image {name!r} to relabel; look with `bench data inspect`")
        labels[int(rows[0])] = _class(dataset, classes, label)
    return replace(images, labels=labels)


def _start(memory: Memory, script: Sequence[tuple[str, Names]], ids: Sequence[int]) -> _Shelf:
    """Return the shelf without the classes and sources that the script will add."""
    classes = {int(c) for action, what in script if action == "add-class" for c in what}
    sources = frozenset(str(s) for action, what in script if action == "add-source" for s in what)
    present = {*memory.images.labels.tolist(), *memory.texts.labels.tolist()}
    start = memory.remove(classes=classes & present, sources=sources)
    return _Shelf(start, _rest(memory, start), sources, tuple(c for c in ids if c not in classes))


def _arrived(shelf: _Shelf, action: str, what: Names) -> _Shelf:
    """Return the shelf after classes or sources have come; an item comes when both its class and its source have."""
    classes = shelf.classes + tuple(int(c) for c in what) if action == "add-class" else shelf.classes
    to_come = shelf.sources_to_come - {str(s) for s in what}

    def come(items: Items) -> Items:
        return items.take(np.isin(items.labels.cpu(), classes) & ~np.isin(items.sources, list(to_come)))

    new = Memory(come(shelf.reserve.images), come(shelf.reserve.texts))
    return replace(
        shelf,
        memory=shelf.memory.add(images=new.images, texts=new.texts),
        reserve=_rest(shelf.reserve, new),
        sources_to_come=to_come,
        classes=classes,
    )


def _rest(memory: Memory, taken: Memory) -> Memory:
    return Memory(
        memory.images.take(~np.isin(memory.images.ids, taken.images.ids)),
        memory.texts.take(~np.isin(memory.texts.ids, taken.texts.ids)),
    )


def _ids(memory: Memory) -> set[str]:
    return {*memory.images.ids.tolist(), *memory.texts.ids.tolist()}


def _second_source(memory: Memory) -> str:
    names, counts = np.unique(memory.images.sources, return_counts=True)
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
    return float(text)
