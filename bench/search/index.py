"""The search of one set of keys, which remembers what it was asked."""

from __future__ import annotations

import time
from dataclasses import replace
from time import process_time
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from bench.cost.flops import search_flops
from bench.cost.meter import charge, charge_flops, phase, phase_of_search, uncounted
from bench.device.copies import original_of
from bench.search.engines import Prepares, engine_in_force
from bench.search.exact import Exact
from bench.search.neighbours import Neighbours
from bench.search.query_log import note

_answers: Any = WeakTensorKeyDictionary()
"""By keys and queries, what was found, with what tells whether it still holds and the seconds it took."""


class Index:
    """Search over one set of keys by the engine in force, which remembers what it was asked.

    All methods of a run ask the same (memory, queries) pairs, each by private copies of its own, so a pair is searched
    once: a copy that nobody wrote to stands for its original. Every asker is charged the seconds and the FLOPs of that
    search, whoever came first: a method's cost does not depend on its neighbours in a run. They count as retrieval for
    the queries, and as training or building in those phases. Every asker gets an answer of its own to write to.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def search(self, queries: Tensor, k: int) -> Neighbours:
        """Return the ``min(k, m)`` nearest items of each query; see :func:`bench.search.top_k`."""
        k = min(k, len(self.keys))
        keys, queries = original_of(self.keys), original_of(queries)
        engine = engine_in_force()
        here = phase_of_search()
        # What another engine does is not known from outside.
        exact = isinstance(engine, Exact)
        charge_flops(search_flops(len(queries), *keys.shape) if exact else None, here)
        remembered = _answers.setdefault(keys, WeakTensorKeyDictionary())
        known = remembered.get(queries)
        if known is not None:
            answer: Neighbours
            versions, by, answer, seconds = known
            if versions == (queries._version, keys._version) and by == engine and answer.k >= k:
                charge(here, *seconds)
                note(queries, keys, k, answer.by)
                return answer.first(k)
        if isinstance(engine, Prepares):
            # A phase of its own, so that it counts neither as retrieval nor in the phase of whoever came first.
            with phase("index"), uncounted():
                engine.prepare(keys)
        start, busy = time.perf_counter(), process_time()
        with phase(here), uncounted():
            answer = engine.search(queries, keys, k)
        seconds = time.perf_counter() - start, process_time() - busy
        if not exact:
            answer = replace(answer, by=(engine.name,))
        note(queries, keys, k, answer.by)
        remembered[queries] = (queries._version, keys._version), engine, answer, seconds
        return answer.first(k)
