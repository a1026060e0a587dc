"""The check before scoring: which queries have a near-duplicate among what a method may learn or retrieve from."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.task import Episode, Session
from bench.device.precision import full_float32
from bench.functional.classwise import normalise
from bench.search.threshold import reaches

_TOGETHER = 1 << 13
"""Queries that are compared at a time."""
_PAIRED = 1 << 10
"""Queries that are compared with all others at a time."""


def near_duplicates(episode: Episode, *, threshold: float) -> list[Tensor]:
    """Return for each session which queries are near-duplicates of an item dealt so far, bool [q].

    Items are the support and the image memory of this session and of those before it, and the training images. The
    accuracy without these queries is then a matter of counting.

    Parameters
    ----------
    threshold : float
        Cosine from which two vectors count as near-duplicates; a data set's card declares it.
    """
    trained = [episode.training.queries.x] if episode.training is not None else []
    sessions = [(session, session.queries.x.split(_TOGETHER)) for session in episode.sessions]
    series = [[one] for one in sessions] if episode.independent else [sessions]
    return [flags for some in series for flags in _one_after_the_other(some, trained, threshold)]


def _one_after_the_other(
    sessions: Sequence[tuple[Session, tuple[Tensor, ...]]], trained: Sequence[Tensor], threshold: float
) -> list[Tensor]:
    """Return the flags of sessions of which each has the items of those before it.

    A session's items are compared with the queries of all sessions at once, each query once: few large products take
    less time than many small ones of what is new and what was there.
    """
    ids = np.concatenate([session.queries.ids for session, _ in sessions])
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    first = first[which]
    met, place = np.unique(first, return_inverse=True)
    queries = _rows([part for _, parts in sessions for part in parts], met)
    # The first session in which each query has a near-duplicate.
    since = np.full(len(met), len(sessions))
    dealt: list[Tensor] = []
    flags, start = [], 0
    for number, (session, parts) in enumerate(sessions):
        for x in [*([] if number else trained), *_items(session)]:
            # What a method trains on is often the support itself.
            if not any(x is known for known in dealt):
                dealt.append(x)
                reached = torch.cat([reaches(part, x, threshold) for part in queries]).cpu().numpy()
                since[reached & (since > number)] = number
        end = start + sum(len(part) for part in parts)
        flags.append(torch.from_numpy(since[place[start:end]] <= number))
        start = end
    return flags


def _rows(parts: Sequence[Tensor], rows: np.ndarray) -> list[Tensor]:
    """Return some rows, in ascending order, of tensors that count as one, in blocks; all of them are not copied."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    if len(rows) == starts[-1]:
        return list(parts)
    chosen = []
    for part, start in zip(parts, starts[:-1].tolist(), strict=True):
        here = rows[(rows >= start) & (rows < start + len(part))] - start
        if len(here):
            chosen.append(part[torch.from_numpy(here).to(part.device)])
    return list(torch.cat(chosen).split(_TOGETHER))


def _items(session: Session) -> Iterable[Tensor]:
    task = session.task
    memories = [task.memory] if task.prototype_memory is None else [task.memory, task.prototype_memory]
    yield from (x for x in (*(memory.images.x for memory in memories), task.support.x) if len(x))


_clusters: weakref.WeakKeyDictionary[Dataset, dict[str, str]] = weakref.WeakKeyDictionary()


def query_clusters(dataset: Dataset, device: str) -> dict[str, str]:
    """Return the cluster of each query of a data set that has a near-duplicate among its queries, by id.

    Two queries are of one cluster if their cosine is at least what the data set declares, or if others lie between them
    so; it is called by the first of its ids. Computed once a data set.
    """
    known = _clusters.get(dataset)
    if known is None:
        known = _clusters[dataset] = _clusters_of(dataset.role("query"), dataset.card.near, device)
    return known


def _clusters_of(queries: Features, near: float, device: str) -> dict[str, str]:
    x = normalise(queries.x.to(device))
    pairs = [torch.zeros(0, 2, dtype=torch.int64)]
    with full_float32():
        for start in range(0, len(x), _PAIRED):
            # Each pair once: a block with itself and what follows.
            close = (x[start : start + _PAIRED] @ x[start:].T >= near).nonzero().cpu() + start
            pairs.append(close[close[:, 0] < close[:, 1]])
    first, second = torch.cat(pairs).numpy().T
    if not len(first):
        return {}
    labels = _connected(first, second, len(x))
    members = np.unique(np.concatenate([first, second]))
    names: dict[int, str] = {}
    for name, label in sorted(zip(queries.ids[members].tolist(), labels[members].tolist(), strict=True)):
        names.setdefault(label, name)
    return {str(queries.ids[at]): names[labels[at]] for at in members.tolist()}


def _connected(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Return for each of n nodes the least node that edges between ``first`` and ``second`` lead to, int64 [n].

    Both ends of an edge take the lesser label, and labels point on to their own labels, until nothing changes: some
    log n rounds. scipy's sparse graphs do the same and take longer to import than most data sets to be compared.
    """
    labels = np.arange(n)
    while True:
        least = np.minimum(labels[first], labels[second])
        new = labels.copy()
        # A label's own node is told as well, so that whole trees move at once.
        for ends in (first, second, labels[first], labels[second]):
            np.minimum.at(new, ends, least)
        new = new[new]
        if np.array_equal(new, labels):
            return labels
        labels = new
