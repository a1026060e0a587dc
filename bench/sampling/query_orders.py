"""Orders in which the queries of a session are met."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from bench.core.task import Session
from bench.sampling.class_split import class_order
from bench.utils.errors import BenchError
from bench.utils.random import Stream

Order = Literal["shuffled", "by-class", "drifting"]
"""How a stream of queries comes: in an order that tells nothing, class after class, or between both."""


def in_order(session: Session, order: Order, rng: Stream, *, drift: float) -> Session:
    """Return a session whose queries are met in an order; they are dealt as before, so that answers pair.

    Raises
    ------
    BenchError
        If all queries are of one class.
    """
    queries = session.queries
    present = queries.labels.unique().tolist()
    if len(present) < 2:
        raise BenchError("a stream of queries of one class has one answer; deal queries of two classes at least")
    if order == "shuffled":
        return session
    names = queries.class_names
    place = {label: n for n, label in enumerate(class_order(names, present, rng.child("stream")))}
    rank = np.array([place[label] for label in queries.labels.tolist()])
    by_id = rng.child("stream", "queries").order(queries.ids)
    within = np.empty(len(rank), dtype=np.int64)
    within[by_id] = np.arange(len(rank))
    keys = np.lexsort((within, rank))
    if order == "drifting":
        moved = np.empty(len(rank))
        moved[keys] = np.arange(len(rank)) / len(rank)
        keys = np.argsort(moved + drift * (within / len(rank) - 0.5), kind="stable")
    return replace(session, order=tuple(keys.tolist()))
