"""Queries that come from elsewhere than the support: another data set, or the same queries moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items
from bench.core.task import Session
from bench.functional.classwise import normalise
from bench.functional.distortions import Distortion as Distortion
from bench.sampling.distorted import distorted
from bench.sampling.labelled import Labelled
from bench.sampling.measures.groups import Shifted
from bench.sampling.memory_source import declared_or_bare
from bench.sampling.sessions import exclude
from bench.utils.errors import BenchError
from bench.utils.random import Stream


def named_shift(train_on: str | None, distort: Distortion | None, severity: float) -> dict[str, Any]:
    """Return what a condition says of a shift.

    Raises
    ------
    BenchError
        If queries are of another data set and are to be distorted too.
    """
    if train_on is None:
        return {"severity": severity} if distort is None else {"distort": distort, "severity": severity}
    if distort is not None:
        raise BenchError("shift.distort is for the data set's own queries; leave it out, or leave shift.train_on out")
    return {"from": train_on}


def shifted(
    dataset: Dataset, ids: Sequence[int], shots: int | None, distort: Distortion | None, severity: float, rng: Stream
) -> Session:
    """Return a session whose queries are changed row by row, with those before as strangers."""
    if distort is None:
        change = partial(moved, severity=severity, rng=rng)
    else:
        change = partial(distorted, dataset, kind=distort, severity=severity)
    frame = Labelled.of(dataset, tuple(ids), dataset.memory)
    note = named_shift(None, distort, severity)
    session = frame.session(frame.shots(shots, rng), *declared_or_bare(dataset, "none", "shift.memory"), note)
    queries = session.queries
    ids_before = np.array([f"{name} (unshifted)" for name in queries.ids.tolist()], dtype=np.str_)
    before = replace(queries, ids=ids_before)
    measure = Shifted(session.task.columns(before.labels).cpu().numpy())
    return replace(session, queries=change(queries), strangers=before, measure=measure)


def moved(queries: Features, *, severity: float, rng: Stream) -> Features:
    """Return queries moved and brought back to their length.

    Directions are drawn by the seed alone, and a query's own by its id, so they are the same in every encoder's order.
    """
    x = queries.x.float()
    by_id = rng.child("shift", "queries").order(queries.ids)
    draw = rng.child("shift").numpy()
    common = torch.from_numpy(draw.standard_normal((1, x.shape[1]))).float()
    own = torch.empty_like(x)
    own[torch.from_numpy(by_id)] = torch.from_numpy(draw.standard_normal(tuple(x.shape))).float()
    length = x.norm(dim=1, keepdim=True)
    away = normalise(x) + severity / 2 * (normalise(common) + normalise(own))
    return replace(queries, x=(normalise(away) * length).to(queries.x.dtype))


def shifted_to(dataset: Dataset, source: Dataset, ids: Sequence[int], shots: int | None, rng: Stream) -> Session:
    """Return a session of one data set's queries with support, memory and unshifted queries of another.

    Raises
    ------
    BenchError
        If they have fewer than two classes in common by name, or are the same.
    """
    if source.fingerprint == dataset.fingerprint:
        raise BenchError(f"shift.train_on is the data set {dataset.name} itself; name another one, or leave it out")
    theirs = {name: label for label, name in enumerate(source.class_names)}
    both = [label for label in ids if dataset.class_names[label] in theirs]
    if len(both) < 2:
        raise BenchError(
            f"data sets {dataset.name} and {source.name} have {len(both)} class names in common and two are needed; "
            "name data sets with the same classes"
        )
    lookup = torch.full((len(source.class_names),), -1, dtype=torch.int64)
    for label in both:
        lookup[theirs[dataset.class_names[label]]] = label
    names = dataset.class_names
    roles = {
        role: _relabelled(source.role(role), lookup, names, source.name) for role in ("support", "query", "validation")
    }
    images, texts = (_items(part, lookup, source.name) for part in (source.memory.images, source.memory.texts))
    prompts = dataset.prompts if len(dataset.prompts) else _relabelled(source.prompts, lookup, names, source.name)
    there = replace(
        source,
        class_names=names,
        splits=roles,
        roles={role: (role,) for role in roles},
        prompts=prompts,
        memory=source.memory.replace(images=images, texts=texts),
        class_split={},
    )
    frame = Labelled.of(there, tuple(both), there.memory)
    session = frame.session(frame.shots(shots, rng), *declared_or_bare(there, "none", "shift.memory"))
    asked = exclude(dataset.role("query").of_classes(both), [session.task.support, session.queries])
    measure = Shifted(session.task.columns(session.queries.labels).cpu().numpy())
    task = replace(session.task, dataset=dataset.card.name)
    return replace(session, task=task, queries=asked, strangers=session.queries, measure=measure)


def _relabelled(rows: Features, lookup: torch.Tensor, names: tuple[str, ...], source: str) -> Features:
    """Return the rows whose classes are looked up, under the ids of the other data set."""
    labels = lookup[rows.labels] if len(rows) else rows.labels
    kept = labels >= 0
    ids = np.array([f"{source}:{name}" for name in rows.ids[kept.numpy()].tolist()], dtype=np.str_)
    return Features(rows.x[kept], labels[kept], ids, names)


def _items(items: Items, lookup: torch.Tensor, source: str) -> Items:
    labels = lookup[items.labels] if len(items) else items.labels
    kept = labels >= 0
    return replace(items.take(kept), labels=labels[kept])
