"""Which quick matrix units this processor has, each tried before it is used.

torch tells and uses them by private calls, which another version may lack or change. Where one is missing, raises or
gives another product, the processor counts as one without those units, and the search takes its next product.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_LARGEST = 127


@cache
def has_bf16_units() -> bool:
    """Return whether this processor multiplies bfloat16 matrices faster than float32 ones, and rightly."""
    try:
        told = torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
        ones = torch.ones(32, 64, dtype=torch.bfloat16)
        return bool(told) and bool((torch.mm(ones, ones.T) == 64).all())
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False


@cache
def has_int8_units() -> bool:
    """Return whether this processor multiplies 8-bit matrices faster than float32 ones, and adds them exactly.

    Without units for them oneDNN adds two in 16 bits, which saturate: 127 x 127 twice is no longer what it should be.
    """
    try:
        largest = torch.full((32, 64), _LARGEST, dtype=torch.int8)
        found = torch.empty(32, 32, dtype=torch.int32)
        _private_int8(largest, -largest, found)
        return bool(torch.cpu._is_vnni_supported()) and bool((found == -64 * _LARGEST**2).all())
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False


def multiply_int8(queries: Tensor, keys: Tensor, out: Tensor) -> None:
    """Write the products of 8-bit rows [q, d] and [b, d] to ``out``, int32 [q, b], exactly on any processor."""
    if has_int8_units():
        _private_int8(queries, keys, out)
    else:
        out.copy_(queries.double() @ keys.double().T)


def _private_int8(queries: Tensor, keys: Tensor, out: Tensor) -> None:
    torch._int_mm(queries, keys.T, out=out)
