"""A test whether any key is as near as a threshold, which is cheaper than a search for the nearest."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from bench.device.precision import full_float32
from bench.functional.classwise import normalise
from bench.search import gpu, streaming
from bench.search.exact import EXACT, top_k
from bench.search.key_blocks import in_order
from bench.search.reference import pair_similarities
from bench.search.room import in_room, on_processor
from bench.search.rounded_products import FP32, Product, float32_error

_ROUNDING = 2.0**-23
"""More than storing a similarity in float32 may raise it."""
_SCORES = 1 << 23
"""Elements of a processor's largest temporary matrix: 32 MiB."""
_BLOCK = 1 << 13
"""Keys that a processor compares at a time."""


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
    with full_float32():
        products = EXACT.products(q, keys, 1, keep=False)
        search = partial(_streamed, products[0]) if len(products) > 1 else _whole
        found, close = search(q, keys, threshold)
    if len(close):
        found[close] = top_k(queries[close], keys, 1).similarities[:, 0] >= threshold
    return found


def _streamed(product: Product, q: Tensor, keys: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return which queries have such a key, and the queries of which that is not known, by a product."""
    blocks = in_order(product, keys, 1)
    rows, places, open_ = streaming.candidates(product, q, blocks, 1, threshold - _ROUNDING)
    found = torch.zeros(len(q), dtype=torch.bool)
    found[rows[pair_similarities(q, keys, rows, places).float() >= threshold]] = True
    return found, open_.nonzero().squeeze(1)


def _whole(q: Tensor, keys: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return which queries have such a key, and those with one so near to it that float32 cannot tell."""
    best, error = _largest(q, keys) if on_processor(q) else in_room(q.device, partial(gpu.largest, q, keys))
    # A score errs by no more than the bound, so only those this near to the threshold have to be computed exactly.
    close = ((best.double() - threshold).abs() <= error + 2.0**-24).nonzero().squeeze(1)
    return best >= threshold, close


def _largest(q: Tensor, keys: Tensor) -> tuple[Tensor, float]:
    """Return the largest float32 score of each query, [q], and how much it may err."""
    best = q.new_full((len(q),), -torch.inf)
    moved = 0.0
    for start in range(0, len(keys), _BLOCK):
        block = FP32.round(keys[start : start + _BLOCK].to(q.device))
        moved = max(moved, float(block.moved.max()))
        for at in torch.arange(len(q), device=q.device).split(max(1, _SCORES // len(block.x))):
            best[at] = torch.maximum(best[at], (q[at] @ block.x.T).amax(1))
    return best, float32_error(q.shape[1], moved)
