"""Sessions in pixels, for methods that train from the images themselves."""

from __future__ import annotations

from dataclasses import replace

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import Session, Task


def in_pixels(session: Session) -> Session:
    """Return a session with flattened pixels instead of features, and without texts and memory.

    Its support are the labelled images of the task, wherever they were. Exemplars that a method keeps of them are
    pixels too.
    """
    task = session.task
    pictures = task.pictures
    assert pictures is not None
    device = task.device
    items, names = task.labelled, task.support.class_names
    support = Features(pictures.pixels(items.ids).to(device), items.labels, items.ids, names)
    width = support.dimension
    seen: Task = replace(
        task,
        support=support,
        memory=Memory.empty(width).to(device),
        prompts=Features.empty(width, names).to(device),
        prototype_memory=None,
    )
    queries = replace(session.queries, x=pictures.pixels(session.queries.ids).to(device))
    return replace(session, task=seen, queries=queries)
