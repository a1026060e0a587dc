"""What scenarios share: restricting classes, drawing shots, making tasks, guarding against leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch

from bench.errors import BenchError
from bench.features import Features
from bench.memory import Items, Memory
from bench.streams import Stream
from bench.task import Budget, Dataset, Session, Task

Classes = Literal["all", "with-texts", "with-images", "with-both"]
"""Which classes of a data set take part: all, or only those with text items or prompts, or with image items."""


MemoryChoice = Literal["auto", "declared", "support"]
"""The image memory: what a data set declares, its support split under its class names, or the first that is there."""


def eligible(dataset: Dataset, which: Classes) -> tuple[int, ...]:
    """Return the class ids that take part, ascending."""
    chosen = set(range(len(dataset.class_names)))
    if which in ("with-texts", "with-both"):
        chosen &= set(dataset.memory.texts.labels.tolist()) | set(dataset.prompts.labels.tolist())
    if which in ("with-images", "with-both"):
        chosen &= set(dataset.memory.images.labels.tolist()) | set(dataset.role("support").labels.tolist())
    if len(chosen) < 2:
        raise BenchError(
            f"data set {dataset.name}: {len(chosen)} classes are {which!r} and at least two are needed; "
            "import it with --texts, or choose other classes"
        )
    return tuple(sorted(chosen))


def make_task(
    dataset: Dataset,
    classes: Sequence[int],
    *,
    support: Features,
    memory: Memory,
    budget: Budget | None = None,
    session: int = 0,
) -> Task:
    """Return a task over the given classes with everything restricted to them but the support, taken as it is."""
    return Task(
        classes=tuple(classes),
        class_names=tuple(dataset.class_names[c] for c in classes),
        support=support,
        memory=memory.restrict(classes),
        prompts=dataset.prompts.of_classes(list(classes)),
        budget=budget or Budget(),
        session=session,
        pictures=dataset.pictures,
    )


def shots(
    features: Features, count: int | None, rng: Stream, *, dataset: str, scarce: Literal["refuse", "use"] = "refuse"
) -> Features:
    """Return ``count`` random images of each class, so that k shots are a prefix of k + 1.

    Parameters
    ----------
    count : int or None
        None returns all images.
    scarce : str
        What to do when a class has fewer: ``refuse`` with its name, or ``use`` what is there.
    """
    if count is None:
        return features
    chosen = []
    for label in features.labels.unique().tolist():
        rows = (features.labels == label).nonzero().squeeze(1)
        if len(rows) < count and scarce == "refuse":
            raise BenchError(
                f"data set {dataset}: {count} shots are wanted but class {features.class_names[label]!r} has "
                f"{len(rows)} images; ask for at most {len(rows)}"
            )
        # The draw of a class has its own stream, so other classes and other counts do not move it.
        chosen.append(rows[torch.from_numpy(rng.child("shots", label).permutation(len(rows)))[:count]])
    return features.take(torch.cat(chosen)) if chosen else features


def without(features: Features, others: Sequence[Features]) -> Features:
    """Return the rows whose vectors appear in none of the others, by content hash."""
    ours = features.row_digests
    wanted, taken = set(ours.tolist()), set[str]()
    for other in others:
        for block in other.digest_blocks():
            taken |= wanted.intersection(block.tolist())
    return features.take(~np.isin(ours, list(taken))) if taken else features


def guard(name: str, parts: Mapping[str, Features]) -> None:
    """Raise :class:`BenchError` if two parts that must be disjoint share a vector."""
    digests = {part: set(features.row_digests.tolist()) for part, features in parts.items() if len(features)}
    names = list(digests)
    for n, a in enumerate(names):
        for b in names[n + 1 :]:
            shared = digests[a] & digests[b]
            if shared:
                raise BenchError(
                    f"data set {name}: {len(shared)} vectors are both {a} and {b}; give the roles disjoint splits"
                )


def choose_memory(dataset: Dataset, which: MemoryChoice) -> tuple[Memory, str]:
    """Return the memory and where its images are from, for the notes: ``declared`` or what stands in for it."""
    if which == "support" or (which == "auto" and not len(dataset.memory.images)):
        images = Items.of_features(dataset.role("support"), "support split")
        return dataset.memory.replace(images=images), "support split under its class names"
    return dataset.memory, "declared"


def as_features(items: Items, dataset: Dataset) -> Features:
    """Return items as features with their weak labels."""
    return Features(items.x, items.labels, items.ids, dataset.class_names)


def queries_outside(dataset: Dataset, classes: Sequence[int], memory: Memory) -> tuple[Features, int]:
    """Return the queries of some classes whose vectors are not among the memory images, and how many are."""
    every = dataset.role("query").of_classes(list(classes))
    queries = without(every, [as_features(memory.images, dataset)])
    return queries, len(every) - len(queries)


def apart(dataset: Dataset, classes: Sequence[int], memory: Memory) -> tuple[Features, Features, dict[str, int]]:
    """Return queries outside the memory, support outside the queries, and for the notes how many each lost."""
    queries, in_memory = queries_outside(dataset, classes, memory)
    every = dataset.role("support").of_classes(list(classes))
    support = without(every, [queries])
    lost = {"queries_dropped_as_memory": in_memory, "support_dropped_as_queries": len(every) - len(support)}
    return queries, support, lost


def split_classes(
    dataset: Dataset, ids: Sequence[int], *, seen: float, validation: float, rng: Stream
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return seen, validation and unseen classes: disjoint, as the data set declares them or drawn by share.

    With ``seen`` 0 there is nothing to train on and all classes are unseen.
    """
    if not seen:
        return (), (), tuple(ids)
    if seen + validation >= 1:
        raise BenchError(f"seen={seen} and validation={validation} leave no unseen class; lower them")
    if dataset.class_split:
        every = [c for part in dataset.class_split.values() for c in part]
        twice = sorted({c for c in every if every.count(c) > 1})
        if twice:
            raise BenchError(
                f"data set {dataset.name}: class {dataset.class_names[twice[0]]!r} is in two parts of the class split; "
                "leave it in one"
            )
        wanted = set(ids)
        parts = [
            tuple(c for c in dataset.class_split.get(part, ()) if c in wanted)
            for part in ("seen", "validation", "unseen")
        ]
    else:
        order = [ids[i] for i in rng.child("class-split").permutation(len(ids))]
        a, b = round(len(ids) * seen), round(len(ids) * (seen + validation))
        parts = [tuple(sorted(part)) for part in (order[:a], order[a:b], order[b:])]
    if len(parts[0]) < 2 or len(parts[2]) < 2:
        raise BenchError(
            f"data set {dataset.name}: {len(parts[0])} seen and {len(parts[2])} unseen classes; two of each are needed"
        )
    return parts[0], parts[1], parts[2]


def memory_session(dataset: Dataset, classes: Sequence[int], memory: Memory, origin: str) -> Session:
    """Return classes to be answered for by memory alone; queries whose vectors are in the memory are left out."""
    none = Features.empty(dataset.dimension, dataset.class_names)
    task = make_task(dataset, classes, support=none, memory=memory)
    found = {*task.memory.images.labels.tolist(), *task.memory.texts.labels.tolist(), *task.prompts.labels.tolist()}
    missing = [dataset.class_names[c] for c in classes if c not in found]
    if missing:
        raise BenchError(
            f"data set {dataset.name}: the memory holds no item of class {missing[0]!r} ({len(missing)} such "
            "classes); add items, or run the scenario with classes=with-images"
        )
    queries, dropped = queries_outside(dataset, classes, task.memory)
    return Session(task=task, queries=queries, notes={"memory": origin, "queries_dropped_as_memory": dropped})


def training_session(
    dataset: Dataset, classes: Sequence[int], memory: Memory, origin: str, *, images: int, rng: Stream
) -> Session:
    """Return seen classes with their memory and at most ``images`` labelled images of each, none from the memory."""
    session = memory_session(dataset, classes, memory, origin)
    pool = Features.concat([dataset.role("support"), dataset.role("query")]).of_classes(list(classes))
    free = without(pool, [as_features(session.task.memory.images, dataset)])
    labelled = shots(free, images, rng.child("training"), dataset=dataset.name, scarce="use")
    return Session(task=session.task, queries=labelled, notes={"memory": origin})


def prefix(items: Items, count: int | None, rng: Stream) -> Items:
    """Return ``count`` random items of each class, or all there are, so that k items are among k + 1; None takes all.

    The items keep their order.
    """
    if count is None:
        return items
    chosen = []
    for label in np.unique(items.labels.cpu().numpy()).tolist():
        rows = (items.labels == label).nonzero().squeeze(1).cpu()
        chosen.append(rows[torch.from_numpy(rng.child("items", label).permutation(len(rows)))[:count]])
    return items.take(torch.cat(chosen).sort().values) if chosen else items


def two_sources(items: Items, dataset: Dataset) -> tuple[Items, Items, tuple[str, str], bool]:
    """Return the items of two disjoint sources, the names of the sources, and whether they are simulated.

    They are the two sources with most items, ties by name; where all items have one source, the items of each class
    are dealt to ``A`` and ``B`` in turn, in the order of their ids.

    Raises
    ------
    BenchError
        If a class has no item in one of them.
    """
    names, counts = np.unique(items.sources, return_counts=True)
    if len(names) > 1:
        first, second = (str(names[n]) for n in np.lexsort((names, -counts))[:2])
        halves = items.take(items.sources == first), items.take(items.sources == second)
    else:
        first, second = "A", "B"
        turn = np.zeros(len(items), dtype=bool)
        labels = items.labels.cpu().numpy()
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            turn[rows[np.argsort(items.ids[rows])][1::2]] = True
        renamed = Items(items.x, items.labels, items.ids, np.where(turn, second, first))
        halves = renamed.take(~turn), renamed.take(turn)
    lone = set(halves[0].labels.tolist()) ^ set(halves[1].labels.tolist())
    if lone:
        raise BenchError(
            f"data set {dataset.name}: class {dataset.class_names[min(lone)]!r} has memory items from one source only, "
            f"and {first} and {second} are compared; add items, or restrict the classes"
        )
    return *halves, (first, second), len(names) < 2
