"""Exemplars that a method keeps from one session to the next under a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.core.task import Task
from bench.functional.classwise import herd, normalise, rows_of_classes, unit_rows
from bench.functional.stored_rows import ManyRows, made_rows

_TOGETHER = 1 << 21
"""Numbers of the vectors of classes of one size that are herded side by side: 16 MiB of float64."""


def choose(x: ManyRows, labels: Tensor, quota: int | None) -> Tensor:
    """Return the positions of at most ``quota`` rows of each class, best first within a class, int64.

    A later, smaller quota cuts the tail of each class's list (Rebuffi et al., iCaRL, CVPR 2017, algorithm 5).
    ``None`` keeps every row, in its present order.
    """
    if quota is None:
        return torch.arange(len(labels), device=labels.device)
    classes = _by_class(labels)
    sizes: dict[int, list[int]] = {}
    for number, rows in enumerate(classes):
        sizes.setdefault(len(rows), []).append(number)
    kept = [labels.new_empty(0)] * len(classes)
    for n, alike in sizes.items():
        width = max(1, _TOGETHER // (n * x.shape[1]))
        for start in range(0, len(alike), width):
            some = alike[start : start + width]
            rows = torch.stack([classes[number] for number in some])
            chosen = herd(x[rows.flatten()].view(len(some), n, -1), quota).to(rows.device)
            for number, own in zip(some, rows.gather(1, chosen), strict=True):
                kept[number] = own
    return torch.cat([labels.new_empty(0), *kept])


def cut(labels: Tensor, quota: int | None) -> Tensor:
    """Return the positions of the first ``quota`` rows of each class, in their present order, int64."""
    return torch.cat([labels.new_empty(0), *(rows[:quota] for rows in _by_class(labels))])


def _by_class(labels: Tensor) -> tuple[Tensor, ...]:
    """Return the positions of the rows of each class that there is, in the order of class ids."""
    classes, columns = labels.unique(return_inverse=True)
    return rows_of_classes(columns, len(classes))


def keep_features(features: Features, quota: int | None, embed: Callable[[Tensor], Tensor] = normalise) -> Features:
    """Return the exemplars of labelled features by herding, best first within a class."""
    return features.take(choose(made_rows(features.x, embed), features.labels, quota)) if len(features) else features


def keep_items(items: Items, quota: int | None) -> Items:
    """Return the exemplars of memory items by herding, best first within a class."""
    return items.take(choose(unit_rows(items.x), items.labels, quota)) if len(items) else items


def carry(kept: Task | None, task: Task, *, stores_items: bool, texts: bool) -> tuple[Task, Task]:
    """Return the task on which a method without ``extend`` is built again, and what is kept for the next session.

    The first is the present session with the exemplars of the earlier ones; where the state will hold the items
    themselves it is cut to the budget before the method sees it. All elements count towards a class's quota: support,
    image items and text items share it evenly, as far as there are any.

    Parameters
    ----------
    stores_items : bool
        What the method declares of its state.
    texts : bool
        Whether the method needs text items; one that does not has no use for exemplars that are texts.
    """
    old = kept or replace(task, support=task.support.emptied(), memory=task.memory.emptied())
    new = task if texts else replace(task, memory=task.memory.replace(texts=task.memory.texts.emptied()))
    present = [
        len(old.support) + len(new.support),
        len(old.memory.images) + len(new.memory.images),
        len(old.memory.texts) + len(new.memory.texts),
    ]
    quota = task.quota()
    share = None if quota is None else quota // max(1, sum(count > 0 for count in present))
    small = replace(
        task,
        support=Features.concat([old.support.take(cut(old.support.labels, share)), keep_features(new.support, share)]),
        memory=Memory(
            _kept(old.memory.images, new.memory.images, share), _kept(old.memory.texts, new.memory.texts, share)
        ),
    )
    if stores_items:
        return small, small
    whole = replace(
        task,
        support=Features.concat([old.support, new.support]),
        memory=old.memory.add(images=new.memory.images, texts=new.memory.texts),
    )
    return whole, small


def _kept(old: Items, new: Items, quota: int | None) -> Items:
    return Items.concat([old.take(cut(old.labels, quota)), keep_items(new, quota)])
