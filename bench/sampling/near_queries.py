"""Leaves out memory images that are nearly one of the queries."""

from __future__ import annotations

import torch

from bench.core.task import Session
from bench.sampling.sessions import with_memory
from bench.search.threshold import reaches

_ROWS = 1 << 16
"""Memory images that are compared with the queries at a time."""


def without_near_queries(session: Session, cosine: float | None) -> Session:
    """Return a session without the memory images that have at least this cosine to a query; None keeps them all.

    The queries stay those of the whole memory. The notes say how many images were left out.
    """
    memory = session.task.memory
    if cosine is None or not len(memory.images):
        return session
    near = torch.cat([reaches(block, session.queries.x, cosine) for block in memory.images.x.split(_ROWS)])
    return with_memory(session, memory.replace(images=memory.images.take(~near)), duplicates_dropped=int(near.sum()))
