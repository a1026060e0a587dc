"""The check before scoring: which queries have a near-duplicate among what a method may learn or retrieve from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.search.threshold import reaches
from bench.task import Episode, Session


def near_duplicates(episode: Episode, blocks: Sequence[tuple[Tensor, ...]], *, threshold: float) -> list[Tensor]:
    """Return for each session which queries are near-duplicates of an item dealt so far, bool [q].

    Items are the support and the image memory of this session and of those before it, and the training images. The
    accuracy without these queries is then a matter of counting.

    Parameters
    ----------
    blocks : sequence of tuple of Tensor
        The queries of each session, in blocks.
    threshold : float
        Cosine from which two vectors count as near-duplicates; a data set's card declares it.
    """
    trained = [episode.training.queries.x] if episode.training is not None else []
    so_far = _SoFar(threshold, list(trained))
    flags = []
    for session, parts in zip(episode.sessions, blocks, strict=True):
        if episode.independent:
            so_far = _SoFar(threshold, list(trained))
        flags.append(so_far.meet(session, parts))
    return flags


@dataclass(eq=False)
class _SoFar:
    """What was dealt and asked so far, so that no query is compared with an item twice."""

    threshold: float
    dealt: list[Tensor]
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=str))
    close: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def meet(self, session: Session, parts: tuple[Tensor, ...]) -> Tensor:
        """Return which queries of a session have a near-duplicate, and take note of its items and queries."""
        ids = session.queries.ids
        _, mine, theirs = np.intersect1d(ids, self.ids, return_indices=True)
        asked_before = np.zeros(len(ids), dtype=bool)
        asked_before[mine] = True
        close = np.zeros(len(ids), dtype=bool)
        close[mine] = self.close[theirs]
        new = list(_items(session))
        start = 0
        for part in parts:
            here = slice(start, start + len(part))
            start += len(part)
            close[here] |= self._reach(part, new)
            fresh = np.flatnonzero(~asked_before[here])
            if len(fresh) and self.dealt:
                close[here][fresh] |= self._reach(part[torch.from_numpy(fresh).to(part.device)], self.dealt)
        self.dealt += new
        self.ids, self.close = ids, close
        return torch.from_numpy(close)

    def _reach(self, queries: Tensor, items: Iterable[Tensor]) -> np.ndarray:
        found = torch.zeros(len(queries), dtype=torch.bool, device=queries.device)
        for x in items:
            found |= reaches(queries, x, self.threshold)
        return found.cpu().numpy()


def _items(session: Session) -> Iterable[Tensor]:
    task = session.task
    memories = [task.memory] if task.prototype_memory is None else [task.memory, task.prototype_memory]
    yield from (x for x in (*(memory.images.x for memory in memories), task.support.x) if len(x))
