"""What scenarios share: making tasks and sessions, drawing shots, guarding against leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.rows import Rows
from bench.core.task import Budget, Session, Task
from bench.utils.errors import BenchError
from bench.utils.random import Stream


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
        dataset=dataset.card.name,
    )


def shots(
    features: Features,
    count: int | None,
    rng: Stream,
    *,
    dataset: str,
    classes: Sequence[int] | None = None,
    scarce: Literal["refuse", "use"] = "refuse",
) -> Features:
    """Return ``count`` random images of each class, so that k shots are a prefix of k + 1.

    The ids decide, so that the same images meet the same shots under any name and in any encoder's space.

    Parameters
    ----------
    count : int or None
        None returns all images.
    classes : sequence of int, optional
        The classes that must have so many; those of the images unless said.
    scarce : str
        What to do when a class has fewer: ``refuse`` with its name, or ``use`` what is there.
    """
    if count is None:
        return features
    if scarce == "refuse":
        require_shots(
            features, count, features.labels.unique().tolist() if classes is None else classes, dataset=dataset
        )
    return features.take(_first(features, count, rng.child("shots")))


def require_shots(features: Features, count: int | None, classes: Sequence[int], *, dataset: str) -> None:
    """Raise :class:`BenchError` by the name of the poorest of some classes if it has fewer than ``count`` images."""
    if count is None or not len(classes):
        return
    have = torch.bincount(features.labels.cpu(), minlength=len(features.class_names))[list(classes)]
    least, poorest = int(have.min()), features.class_names[classes[int(have.argmin())]]
    if least < count:
        raise BenchError(
            f"data set {dataset}: {count} shots are wanted but class {poorest!r} has {least} images; "
            + (f"ask for at most {least}" if least else "give it some or leave it out")
        )


def exclude(features: Features, others: Sequence[Features]) -> Features:
    """Return the rows whose vectors appear in none of the others, by content hash."""
    ours = features.row_digests
    wanted, taken = set(ours.tolist()), set[str]()
    for other in others:
        for block in other.digest_blocks():
            taken |= wanted.intersection(block.tolist())
    return features.take(~np.isin(ours, list(taken))) if taken else features


def assert_disjoint(name: str, parts: Mapping[str, Features]) -> None:
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


def as_features(items: Items, dataset: Dataset) -> Features:
    """Return items as features with their weak labels."""
    return Features(items.x, items.labels, items.ids, dataset.class_names)


def queries_outside(dataset: Dataset, classes: Sequence[int], memory: Memory) -> tuple[Features, int]:
    """Return the queries of some classes whose vectors are not among the memory images, and how many are."""
    every = dataset.role("query").of_classes(list(classes))
    queries = exclude(every, [as_features(memory.images, dataset)])
    return queries, len(every) - len(queries)


def split_disjoint(
    dataset: Dataset, classes: Sequence[int], memory: Memory
) -> tuple[Features, Features, dict[str, int]]:
    """Return queries outside the memory, support outside the queries, and for the notes how many each lost."""
    queries, in_memory = queries_outside(dataset, classes, memory)
    every = dataset.role("support").of_classes(list(classes))
    support = exclude(every, [queries])
    lost = {"queries_dropped_as_memory": in_memory, "support_dropped_as_queries": len(every) - len(support)}
    return queries, support, lost


def memory_session(dataset: Dataset, classes: Sequence[int], memory: Memory, origin: str) -> Session:
    """Return classes to be answered for by memory alone; queries whose vectors are in the memory are left out."""
    none = Features.empty(dataset.dimension, dataset.class_names)
    task = make_task(dataset, classes, support=none, memory=memory)
    found = {*task.memory.images.labels.tolist(), *task.memory.texts.labels.tolist(), *task.prompts.labels.tolist()}
    missing = [dataset.class_names[c] for c in classes if c not in found]
    if missing:
        other = "classes=with-images" if len(task.memory.images) else "memory=support"
        raise BenchError(
            f"data set {dataset.name}: the memory holds no item of class {missing[0]!r} ({len(missing)} such "
            f"classes); add items, or run the scenario with {other}"
        )
    queries, dropped = queries_outside(dataset, classes, task.memory)
    return Session(task=task, queries=queries, notes={"memory": origin, "queries_dropped_as_memory": dropped})


def training_session(
    dataset: Dataset,
    classes: Sequence[int],
    memory: Memory,
    origin: str,
    *,
    images: int,
    rng: Stream,
    apart_from: Sequence[Features] = (),
) -> Session:
    """Return seen classes with their memory and at most ``images`` labelled images of each, none from the memory.

    Nor is any among ``apart_from``: queries of another data set, which can share images with this one.
    """
    session = memory_session(dataset, classes, memory, origin)
    # Restricted first and joined then, so that a large support is not copied for the classes that are left out.
    pool = Features.concat([dataset.role(role).of_classes(list(classes)) for role in ("support", "query")])
    free = exclude(pool, [as_features(session.task.memory.images, dataset), *apart_from])
    labelled = shots(free, images, rng.child("training"), dataset=dataset.name, scarce="use")
    return Session(task=session.task, queries=labelled, notes={"memory": origin})


def training_and_validation(
    dataset: Dataset,
    seen: Sequence[int],
    validation: Sequence[int],
    memory: Memory,
    origin: str,
    *,
    images: int,
    rng: Stream,
) -> tuple[Session | None, Session | None]:
    """Return what to train and to choose on; None without seen classes, and for fewer than two to choose on."""
    training = training_session(dataset, seen, memory, origin, images=images, rng=rng) if seen else None
    return training, memory_session(dataset, validation, memory, origin) if len(validation) > 1 else None


def with_memory(session: Session, memory: Memory, **notes: Any) -> Session:
    """Return a session with another memory, as it is, and more notes.

    A session is dealt clear of a whole memory, so its images are the same whichever part of it takes the place.
    """
    return replace(session, task=replace(session.task, memory=memory), notes={**session.notes, **notes})


def nested_subset(items: Items, count: int | None, rng: Stream) -> Items:
    """Return ``count`` random items of each class, or all there are, so that k items are among k + 1; None takes all.

    The items keep their order.
    """
    if count is None:
        return items
    return items.take(_first(items, count, rng.child("items")).sort().values)


def _first(rows: Rows, count: int, rng: Stream) -> Tensor:
    """Return the positions of the first ``count`` rows of each class in a random order of ids, class after class."""
    order = rng.order(rows.ids)
    labels = rows.labels.cpu().numpy()[order]
    by_class = np.argsort(labels, kind="stable")
    labels = labels[by_class]
    starts = np.searchsorted(labels, labels)
    return torch.from_numpy(order[by_class][np.arange(len(labels)) - starts < count])
