"""The best float32 scores on a processor, a few more than are wanted: by faiss for many queries, else by sorting."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.search.rounded_products import FP32, float32_error

_SCORES = 1 << 24
"""Elements of the largest temporary matrix (64 MiB in float32), whatever the size of the memory."""
_BLOCK = 1 << 24
"""Elements of keys that are brought to unit norm at a time: 64 MiB."""
_MANY = 512
"""From so many queries on faiss is faster than sorting: it selects while the scores are in the cache."""


def widest(q: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the keys that may be among the k nearest of each query.

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors.
    keys : Tensor [m, d]
    k : int
        At most m.

    Returns
    -------
    places : int64 Tensor [q, w]
        At least k candidates.
    left : bool Tensor [q]
        Queries of which more than those may be among the nearest.
    """
    wide = min(len(keys), k + max(8, k // 4))
    values, places, moved = _blocked(q, keys, wide)
    error = float32_error(q.shape[1], moved)
    # k keys are as near as the k-th score less the error, and none is nearer than its score and the error.
    near = values >= (values[:, k - 1].double() - 2 * error).unsqueeze(1)
    left = near[:, -1] & (wide < len(keys))
    return places[:, : max(k, int(near.sum(1).max()))], left


def _blocked(q: Tensor, keys: Tensor, wide: int) -> tuple[Tensor, Tensor, float]:
    """Return the largest scores in order, their positions, and the most that any key was moved by rounding."""
    best, moved = (q.new_zeros(len(q), 0), torch.zeros(len(q), 0, dtype=torch.int64, device=q.device)), 0.0
    # faiss keeps no scores, so that keys which need no rounding are read at once and where they are.
    whole = FP32.as_stored(keys) if _by_faiss(q) and keys.device == q.device else None
    rows = max(wide, _BLOCK // keys.shape[1]) if whole is None else len(keys)
    for start in range(0, len(keys), rows):
        block = whole or FP32.round(keys[start : start + rows].to(q.device))
        moved = max(moved, float(block.moved.max()))
        values, at = _best(q, block.x, min(wide, len(block.x)))
        values, at = torch.cat([best[0], values], 1), torch.cat([best[1], at + start], 1)
        if start:
            values, order = values.topk(min(wide, values.shape[1]), dim=1)
            at = at.gather(1, order)
        best = values, at
    return *best, moved


def _by_faiss(q: Tensor) -> bool:
    return len(q) >= _MANY


def _best(q: Tensor, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest scores of each query and their positions in x."""
    if _by_faiss(q):
        import faiss  # many runs search with few queries, and do without it

        faiss.omp_set_num_threads(torch.get_num_threads())
        scores, at = faiss.knn(q.numpy(), x.numpy(), k, metric=faiss.METRIC_INNER_PRODUCT)
        return torch.from_numpy(scores), torch.from_numpy(at)
    parts = [(part @ x.T).topk(k, dim=1) for part in q.split(max(1, _SCORES // len(x)))]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])
