"""The best float32 scores of a few queries: one product with the keys as they are stored, and their norms.

To bring keys to unit norm takes longer than to compare them with one query. Their norms are numbers, one a key, and are
kept instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.search.rounded_products import float32_error

MOST = 16
"""Queries, at most, that are few."""
_SCORES = 1 << 24
"""Scores at a time, at most: 64 MiB."""
_ROWS = 1 << 12
"""Keys whose norms are taken in float64 at a time: 16 MiB at d = 512."""
_SMALLEST, _LARGEST = 2.0**-30, 2.0**30
"""Norms between these neither lose digits nor overflow in the product."""


def is_few(queries: int, keys: int) -> bool:
    """Return whether so many queries are few, for so many keys."""
    return queries <= MOST and queries * keys <= _SCORES


def inverse_norms(keys: Tensor) -> Tensor | None:
    """Return one over the norm of each key, float32 [m]; None of keys that are not compared as they are stored."""
    if keys.dtype != torch.float32 or not keys.is_contiguous():
        return None
    norms = torch.cat([torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) for rows in keys.split(_ROWS)])
    if not bool(((norms > _SMALLEST) & (norms < _LARGEST)).all()):
        return None
    return norms.reciprocal_().float()


def widest(q: Tensor, keys: Tensor, inverse: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the keys that may be among the k nearest of each query; as :func:`bench.search.blocked.widest`.

    With n the norm of a key x, m the float32 norm that the definition of the search divides by, u = 2^-24 and p the
    float32 product, the score p / n differs from q.(x / m) by at most

        |p - q.x| / n <= gamma,   |1/n - 1/m| n <= (d / 2 + 2) u,   and 3 u where quotients and scores are rounded.

    Parameters
    ----------
    q : float32 Tensor [q, d]
        Unit vectors, few.
    keys : float32 Tensor [m, d]
    inverse : float32 Tensor [m]
        What :func:`inverse_norms` returned.
    k : int
        At most m.
    """
    d = q.shape[1]
    wide = min(len(keys), k + max(8, k // 4))
    scores = (torch.mv(keys, q[0]).unsqueeze(0) if len(q) == 1 else q @ keys.T).mul_(inverse)
    values, places = scores.topk(wide, dim=1)
    error = float32_error(d, (d / 2 + 8) * 2.0**-24)
    near = values >= (values[:, k - 1].double() - 2 * error).unsqueeze(1)
    left = near[:, -1] & (wide < len(keys))
    return places[:, : max(k, int(near.sum(1).max()))], left
