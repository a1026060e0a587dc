"""Which items of a memory mislead others, by leave-one-out retrieval."""

from __future__ import annotations

import numpy as np
import torch

from bench.memory import Items
from bench.search import top_k

_LOOKED_UP = 1 << 12
"""Items that are looked up among the others at a time."""


def misleading(items: Items, neighbours: int) -> np.ndarray:
    """Return of how many others each item is one of the nearest although its class is another, int64 [m].

    Each item is looked up among the others (leave-one-out; Geirhos et al., Towards Flexible Perception with Visual
    Memory, 2024, arXiv:2408.08172, section on memory pruning), some at a time, so that a large memory needs no table
    of all neighbours.
    """
    labels, counts = items.labels.cpu(), torch.zeros(len(items), dtype=torch.int64)
    for start in range(0, len(items), _LOOKED_UP):
        rows = torch.arange(start, min(start + _LOOKED_UP, len(items)))
        near = top_k(items.x[start : start + _LOOKED_UP], items.x, neighbours + 1).positions.cpu()
        own = near == rows.unsqueeze(1)
        # Behind duplicates an item may miss its own list; then the last neighbour is one too many.
        own[:, -1] |= ~own.any(1)
        wrong = (labels[near] != labels[rows].unsqueeze(1)) & ~own
        counts += torch.bincount(near[wrong], minlength=len(items))
    return counts.numpy()
