"""Products of 7-bit by 8-bit rows on processors without 8-bit units, by a matrix that is packed for it once.

AVX2 multiplies bytes too: pairs of an unsigned by a signed one, whose sums it keeps in 16 bits. With 7 bits on one side
no sum is cut off, and the product takes about half the time of one in float32. torch has it (FBGEMM) behind calls for
quantised models, which a later version may lack; they are made here alone and tried once.
"""

from __future__ import annotations

import time
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from bench.cost.meter import uncounted
from bench.utils.random import Stream

ZERO = 64
"""The byte that stands for 0 among the unsigned ones."""
COARSE, FINE = 63, 127
"""The largest counts of either side."""
STORED = 0.51
"""More than a product errs by being stored as a whole number."""
_ROWS, _KEYS, _COMPONENTS = 512, 2048, 192
"""The product whose time is taken."""
_TRIES = 3
_LEAD = 0.8
"""Share of a float32 product's time that this may take at most to be used."""


def pack(counts: Tensor, step: Tensor) -> Any:
    """Return rows of whole numbers up to 127, int8 [n, d], with their steps [n] as :func:`multiply` takes them."""
    with uncounted():
        return _packed(counts, step) if _right() else (counts.double(), step.double())


def multiply(keys: Tensor, packed: Any) -> Tensor:
    """Return the products of keys and packed rows times the steps of these, as whole numbers from 0 to 255.

    Parameters
    ----------
    keys : uint8 Tensor [b, d]
        Whole numbers up to 63, with ``ZERO`` added.
    packed : Any
        n rows; see :func:`pack`.

    Returns
    -------
    uint8 Tensor [b, n]
        Each rounded to the nearest; 0 stands for all below as well.
    """
    if not isinstance(packed, tuple):
        return _multiplied(keys, packed)
    counts, step = packed
    products: Tensor = (keys.double() - ZERO) @ counts.T
    return products.mul_(step).round_().clamp_(0, 255).to(torch.uint8)


def _packed(counts: Tensor, step: Tensor) -> Any:
    none = torch.zeros(len(counts), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*quantized tensor creation", UserWarning)
        weights = torch._make_per_channel_quantized_tensor(counts, step.double(), none, 0)
        return torch.ops.quantized.linear_prepack(weights, None)


def _multiplied(keys: Tensor, packed: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*quantized tensor creation", UserWarning)
        found = torch.ops.quantized.linear(torch._make_per_tensor_quantized_tensor(keys, 1.0, ZERO), packed, 1.0, 0)
    # The bytes themselves, where int_repr would copy them.
    whole: tuple[int, int] = tuple(found.shape)
    return torch.empty(0, dtype=torch.uint8).set_(found.untyped_storage(), 0, whole, (whole[1], 1))


@cache
def has_packed_products() -> bool:
    """Return whether torch makes such products here, rightly and faster than those in float32."""
    with uncounted():
        return _right() and _quick()


@cache
def _right() -> bool:
    """Return whether torch's product is there, and right for random and for the largest numbers."""
    try:
        return _tried()
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False


def _tried() -> bool:
    random = Stream(0).child("packed").numpy()
    keys = torch.from_numpy(random.integers(-COARSE, COARSE + 1, (70, 135)))
    rows = torch.from_numpy(random.integers(-FINE, FINE + 1, (37, 135)))
    keys[:2], rows[0], rows[1] = COARSE, FINE, -FINE
    step = torch.linspace(1e-4, 1e-3, len(rows), dtype=torch.float64)
    found = _multiplied((keys + ZERO).to(torch.uint8), _packed(rows.to(torch.int8), step))
    return bool((found.double() - ((keys @ rows.T) * step).clamp(0, 255)).abs().max() <= STORED)


def _quick() -> bool:
    """Return whether the product took less processor time than one in float32 when both were tried."""
    x, q = torch.full((_KEYS, _COMPONENTS), ZERO + 1, dtype=torch.uint8), torch.ones(_ROWS, _COMPONENTS)
    packed, y, out = _packed(q.to(torch.int8), torch.ones(len(q))), x.float(), torch.empty(_ROWS, _KEYS)
    ours, other = [], []
    for _ in range(_TRIES + 1):
        start = time.process_time()
        _multiplied(x, packed)
        between = time.process_time()
        torch.mm(q, y.T, out=out)
        ours.append(between - start)
        other.append(time.process_time() - between)
    return min(ours[1:]) < _LEAD * min(other[1:])
