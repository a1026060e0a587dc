"""Whether any key is as near as a threshold: a cheaper question than which are nearest."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.algebra import normalise
from bench.search.exact import top_k
from bench.search.products import FP32, float32_error, full_float32

_SCORES = 1 << 23
"""Elements of the largest temporary matrix: 32 MiB."""
_BLOCK = 1 << 13


@torch.no_grad()
def reaches(queries: Tensor, keys: Tensor, threshold: float) -> Tensor:
    """Return which queries have a key with at least this cosine, bool [q], exactly as :func:`top_k` would tell.

    Parameters
    ----------
    queries : Tensor [q, d]
        Any scale.
    keys : Tensor [m, d]
        Any scale and floating dtype.
    threshold : float
    """
    q = normalise(queries.contiguous())
    best = q.new_full((len(q),), -torch.inf)
    moved = 0.0
    with full_float32():
        for start in range(0, len(keys), _BLOCK):
            block = FP32.round(keys[start : start + _BLOCK].to(q.device))
            moved = max(moved, float(block.moved.max()))
            for at in torch.arange(len(q), device=q.device).split(max(1, _SCORES // len(block.x))):
                best[at] = torch.maximum(best[at], (q[at] @ block.x.T).amax(1))
    found = best >= threshold
    # A score errs by no more than the bound, so only those this near to the threshold have to be computed exactly.
    error = float32_error(q, moved) + 2.0**-24
    close = ((best.double() - threshold).abs() <= error).nonzero().squeeze(1)
    if len(close):
        found[close] = top_k(queries[close], keys, 1).similarities[:, 0] >= threshold
    return found
