"""Fast but rounded products of queries with keys, each with a proven bound on its error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.algebra import normalise

_SLACK = 1 + 2.0**-10
"""Norms are themselves computed in float32: d additions, each with a relative error of 2^-24, for d up to 2^13."""
_ROWS = 1024
"""Rows converted at a time: a megabyte or two, which stay in the processor's cache between the steps."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """Unit vectors as a product sees them, and how far rounding moved them.

    Attributes
    ----------
    x : Tensor [n, d]
        In the dtype of the product.
    moved : float Tensor [n]
        At least the Euclidean distance between a unit vector and its rounded one.
    """

    x: Tensor
    moved: Tensor


@dataclass(frozen=True)
class Product:
    """A matrix product in one dtype.

    With r the rounded vectors, s the score that the product gives for a query q and a key x, all of norm 1:

        |q.x - r(q).r(x)| <= |q - r(q)| |x| + |r(q)| |x - r(x)|         (Cauchy and Schwarz)
        |p - r(q).r(x)|   <= gamma |r(q)| |r(x)|,  gamma = d u / (1 - d u)
        |s - p|           <= out |s|

    where p is the float32 sum, gamma Higham's bound (Accuracy and Stability of Numerical Algorithms, 2002, section
    3.1) for any order of summation and out the relative error of storing p in the dtype. The first two lines are
    :meth:`error`; the third depends on the score.

    Attributes
    ----------
    name : str
    dtype : torch.dtype
        Of the operands and the scores; sums are float32.
    unit : float
        u, the largest relative error of one addition.
    out : float
        The largest relative error of storing a score.
    """

    name: str
    dtype: torch.dtype
    unit: float
    out: float

    def as_stored(self, x: Tensor) -> Rounded | None:
        """Return x [n, d] itself if it is in the product's dtype and of unit norm but for rounding, else nothing."""
        if self.dtype != x.dtype or not x.is_contiguous() or not len(x):
            return None
        away = float((torch.linalg.vector_norm(x, dim=1) - 1).abs_().max())
        if not away < 2.0**-18:
            return None
        # u = fl(x / n) for the float32 norm n, so |x - u| <= |x| (|1 - 1/n| + 2^-24 / n).
        return Rounded(x.detach(), torch.full((len(x),), away * _SLACK + 2.0**-20, device=x.device))

    def round(self, x: Tensor) -> Rounded:
        """Return the unit vectors of x [n, d] as this product sees them."""
        # Rows that lie apart in memory would be summed in another order than the same rows side by side.
        x = x.detach()
        if self.dtype == torch.float32:
            unmoved = torch.zeros(len(x), device=x.device)
            return self.as_stored(x) or Rounded(normalise(x.contiguous()), unmoved)
        rounded = torch.empty(x.shape, dtype=self.dtype, device=x.device)
        moved = torch.empty(len(x), device=x.device)
        for start in range(0, len(x), _ROWS):
            unit = normalise(x[start : start + _ROWS].contiguous())
            low = rounded[start : start + _ROWS].copy_(unit)
            torch.linalg.vector_norm(unit.sub_(low), dim=1, out=moved[start : start + _ROWS])
        return Rounded(rounded, moved.mul_(_SLACK))

    def error(self, q: Rounded, keys_moved: float) -> Tensor:
        """Return a bound on |p - q.x| for each query and every key that was moved by at most this, float64 [q]."""
        d = q.x.shape[1]
        gamma = d * self.unit / (1 - d * self.unit)
        moved = q.moved.double()
        low = (1 + moved) * _SLACK
        return moved * _SLACK + low * keys_moved + gamma * low * (_SLACK + keys_moved)


FP32 = Product("fp32", torch.float32, 2.0**-24, 0.0)
# A processor's bfloat16 units may truncate where they add, so one addition may err by 2^-23 of its result, and by as
# much again where two products are added first.
BF16 = Product("bf16", torch.bfloat16, 2.0**-22, 2.0**-8)


@contextmanager
def full_float32() -> Iterator[None]:
    """Make float32 products inside the block use float32, whatever the process has allowed elsewhere."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def has_bf16_units() -> bool:
    """Return whether this processor multiplies bfloat16 matrices faster than float32 ones."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _avx512_bf16()


def _avx512_bf16() -> bool:
    capabilities = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(capabilities and capabilities())
