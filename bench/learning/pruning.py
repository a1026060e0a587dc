"""Which items of a memory mislead others, by leave-one-out retrieval."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.core.memory import Items
from bench.functional.classwise import drop_self
from bench.search import Neighbours, top_k

_LOOKED_UP = 1 << 12
"""Items that are looked up among the others at a time."""


def misleading_counts(items: Items, k: int, search: Callable[[Tensor, int], Neighbours] | None = None) -> Tensor:
    """Return of how many others each item is one of the k nearest although its class is another, int64 [m].

    Each item is looked up among the others (leave-one-out; Geirhos et al., Towards Flexible Perception with Visual
    Memory, 2024, arXiv:2408.08172, section on memory pruning), some at a time, so that a large memory needs no table
    of all neighbours.

    Parameters
    ----------
    search : callable
        Given queries [q, d] and how many, returns their nearest among the items; exact search unless said.
    """

    def exactly(queries: Tensor, count: int) -> Neighbours:
        return top_k(queries, items.x, count)

    counts = torch.zeros(len(items), dtype=torch.int64, device=items.labels.device)
    for rows in torch.arange(len(items), device=items.labels.device).split(_LOOKED_UP):
        found = (search or exactly)(items.x[rows[0] : rows[-1] + 1].float(), k + 1).positions
        others = drop_self(found, found == rows.unsqueeze(1))
        wrong = items.labels[others] != items.labels[rows].unsqueeze(1)
        counts += torch.bincount(others[wrong], minlength=len(items))
    return counts
