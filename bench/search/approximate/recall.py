"""Recall of an approximate engine, measured on a sample of the queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.search import Engine, top_k
from bench.search.approximate.engine import Approximate
from bench.search.query_log import SearchCall
from bench.utils.random import Stream

SAMPLE = 64
"""Queries that are searched exactly as well: one pass over the memory, whatever the number of queries."""


def recall_at(engine: Engine, queries: Tensor, keys: Tensor, k: int) -> float | None:
    """Return recall@k: the share of the exact k nearest keys that the engine returns; None without queries or keys."""
    if not len(queries) or not len(keys):
        return None
    truth, found = top_k(queries, keys, k).positions, engine.search(queries, keys, k).positions
    # A number of each row and position; both sides name each at most once, so equal numbers are hits. None is -1.
    rows = torch.arange(len(queries), device=truth.device).unsqueeze(1) * (len(keys) + 1) + 1
    return int(torch.isin(truth + rows, found + rows).sum()) / truth.numel()


class Recalls:
    """Writes what searched and its recall into records; what several methods asked alike is measured once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[tuple[int, int, int], tuple[Tensor, dict[str, Any]]] = {}

    def row(
        self, session: int, queries: Tensor, blocks: Sequence[Tensor], searches: Sequence[SearchCall]
    ) -> dict[str, Any]:
        """Return the record's columns on search for one session.

        Parameters
        ----------
        session : int
            Which session of the episode it is.
        queries : Tensor [q, d]
            Its queries.
        blocks : sequence of Tensor
            The same queries as methods are given them; searches for others (in training) are not measured.
        searches : sequence of SearchCall
            What the method searched for in this session.
        """
        names = {name for a in searches for name in a.by}
        row: dict[str, Any] = {"search": "+".join(sorted(names)) or None}
        if not isinstance(self.engine, Approximate):
            return row
        ours = {id(block) for block in blocks}
        wanted = {(id(a.keys), a.k): a for a in searches if id(a.queries) in ours and len(a.keys)}
        if wanted:
            found = [self._measure(self.engine, session, queries, a) for a in wanted.values()]
            used = [self.engine.opened(keys) for keys in {id(a.keys): a.keys for a in wanted.values()}.values()]
            row["search_recall"] = min(part["recall"] for part in found)
            row["search_details"] = json.dumps(sorted(found, key=lambda part: (part["items"], part["k"])))
            row["index_seconds"] = sum(index.seconds for index in used if index is not None)
        return row

    def _measure(self, engine: Approximate, session: int, queries: Tensor, call: SearchCall) -> dict[str, Any]:
        key = (session, id(call.keys), call.k)
        if key not in self._known:
            rows = Stream(0).child("recall", session).permutation(len(queries))[:SAMPLE]
            sample = queries[torch.from_numpy(rows).to(queries.device)].float()
            opened = engine.opened(call.keys)
            measured = {
                "items": len(call.keys),
                "k": call.k,
                "recall": recall_at(engine, sample, call.keys, call.k),
                "sampled_queries": len(sample),
                "exact": opened is None,
                "index_bytes": None if opened is None else opened.index.nbytes,
            }
            # The keys are kept, so that no other tensor takes their place and with it their id.
            self._known[key] = (call.keys, measured)
        return self._known[key][1]
