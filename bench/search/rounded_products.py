"""Fast but rounded products of queries with keys, each with a proven bound on its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from bench.functional.classwise import normalise

SLACK = 1 + 2.0**-10
"""Norms are themselves computed in float32: d additions, each with a relative error of 2^-24, for d up to 2^13."""
ROWS = 1024
"""Rows converted at a time: a megabyte or two, which stay in the processor's cache between the steps."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """Unit vectors as a product sees them, and how far rounding moved them.

    Attributes
    ----------
    x : Tensor [n, d]
        In the dtype of the product.
    moved : float Tensor [n]
        At least the Euclidean distance between a unit vector and its rounded one; infinite, and the rounded one zero,
        where the vector is not a number.
    scale : float Tensor [n]
        What the rows of x are to be multiplied with.
    """

    x: Tensor
    moved: Tensor
    scale: Tensor

    def __getitem__(self, rows: slice) -> Rounded:
        """Return some of the vectors."""
        return Rounded(self.x[rows], self.moved[rows], self.scale[rows])

    @classmethod
    def of(cls, x: Tensor, moved: Tensor, scale: Tensor) -> Rounded:
        """Return vectors that were moved by not a number where they are not one."""
        lost = moved.isnan()
        if lost.any():
            x[lost], moved[lost] = 0, torch.inf
        return cls(x, moved, scale)


class Product(Protocol):
    """A matrix product of rounded vectors whose values err by a known amount.

    For a query q and a key x, both of norm 1, and the product s of their rounded vectors, scales included:

        q.x - s  <=  fixed(q) + slope moved(x) + out |s|

    Of products of rounded vectors this bounds the error on either side.
    """

    @property
    def name(self) -> str:
        """What it is called in records."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the operands."""

    @property
    def score_dtype(self) -> torch.dtype:
        """The dtype of the products before they are scaled."""

    @property
    def out(self) -> float:
        """The relative error of storing a product."""

    @property
    def spare(self) -> int:
        """How many groups of keys are looked into for each that a first floor needs."""

    @property
    def most(self) -> float:
        """The share of a block's groups that may matter to a query before it is given up."""

    def width(self, d: int) -> int:
        """Return how many numbers a vector of d components has as this product sees it."""

    def round(self, x: Tensor, group: int = 1) -> Rounded:
        """Return unit vectors of keys x [n, d] as this product sees them; so many rows in a row have one scale."""

    def round_queries(self, x: Tensor) -> Rounded:
        """Return unit vectors of queries x [n, d] as this product sees them."""

    def prepared(self, queries: Rounded) -> tuple[Any, Tensor]:
        """Return rounded queries as :meth:`multiply` takes them, and what their products are multiplied with, [q]."""

    def bound(self, q: Rounded) -> tuple[Tensor, float]:
        """Return ``fixed`` of each query, float64 [q], and ``slope``."""

    def multiply(self, queries: Any, keys: Tensor, *, out: Tensor) -> Tensor:
        """Return the unscaled products of prepared queries and rounded keys [b, d], [q, b], in ``out`` or elsewhere."""


class Symmetric:
    """A product that sees queries as it sees keys, and looks into the groups that may matter one by one."""

    most: ClassVar[float] = 0.5

    def round_queries(self: Product, x: Tensor) -> Rounded:
        """Return the unit vectors of x [n, d] as this product sees them."""
        return self.round(x)

    def prepared(self, queries: Rounded) -> tuple[Tensor, Tensor]:
        """Return the rounded queries [q, d] and their scales [q]."""
        return queries.x, queries.scale


@dataclass(frozen=True)
class FloatProduct(Symmetric):
    """A matrix product in one floating dtype.

    With r the rounded vectors and p the float32 sum that the product makes for a query q and a key x of norm 1:

        |q.x - r(q).r(x)| <= |q - r(q)| |x| + |r(q)| |x - r(x)|         (Cauchy and Schwarz)
        |p - r(q).r(x)|   <= gamma |r(q)| |r(x)|,  gamma = d u / (1 - d u)
        |s - p|           <= out |s|

    where gamma is Higham's bound (Accuracy and Stability of Numerical Algorithms, 2002, section 3.1) for any order of
    summation and out the relative error of storing p as s.

    Attributes
    ----------
    name : str
    dtype : torch.dtype
        Of the operands and the products; sums are float32.
    unit : float
        u, the largest relative error of one addition.
    out : float
        The largest relative error of storing a product.
    """

    name: str
    dtype: torch.dtype
    unit: float
    out: float
    spare: int = 1

    @property
    def score_dtype(self) -> torch.dtype:
        """The dtype of the operands."""
        return self.dtype

    def width(self, d: int) -> int:
        """Return d."""
        return d

    def as_stored(self, x: Tensor) -> Rounded | None:
        """Return x [n, d] itself if it is in the product's dtype and of unit norm but for rounding, else nothing."""
        if self.dtype != x.dtype or not x.is_contiguous() or not len(x):
            return None
        away = float((torch.linalg.vector_norm(x, dim=1) - 1).abs_().max())
        if not away < 2.0**-18:
            return None
        # u = fl(x / n) for the float32 norm n, so |x - u| <= |x| (|1 - 1/n| + 2^-24 / n).
        ones = torch.ones(len(x), device=x.device)
        return Rounded(x.detach(), ones * (away * SLACK + 2.0**-20), ones)

    def round(self, x: Tensor, group: int = 1) -> Rounded:
        """Return the unit vectors of x [n, d] as this product sees them; all scales are 1."""
        # Rows that lie apart in memory would be summed in another order than the same rows side by side.
        x = x.detach()
        if self.dtype == torch.float32:
            stored = self.as_stored(x)
            if stored is not None:
                return stored
            unit = torch.empty(x.shape, device=x.device)
            for rows, into in zip(x.split(ROWS), unit.split(ROWS), strict=True):
                into.copy_(normalise(rows.contiguous()))
            # Nothing, or not a number.
            moved = unit.sum(1).mul_(0)
            return Rounded.of(unit, moved, torch.ones_like(moved))
        rounded = torch.empty(x.shape, dtype=self.dtype, device=x.device)
        moved = torch.empty(len(x), device=x.device)
        for start in range(0, len(x), ROWS):
            unit = normalise(x[start : start + ROWS].contiguous())
            low = rounded[start : start + ROWS].copy_(unit)
            torch.linalg.vector_norm(unit.sub_(low), dim=1, out=moved[start : start + ROWS])
        return Rounded.of(rounded, moved.mul_(SLACK), torch.ones_like(moved))

    def gamma(self, d: int) -> float:
        """Return the relative error of a sum of d products in any order."""
        return d * self.unit / (1 - d * self.unit)

    def bound(self, q: Rounded) -> tuple[Tensor, float]:
        """Return ``fixed`` of each query, float64 [q], and ``slope``.

        |r(q)| <= low = 1 + moved(q), and |r(x)| <= 1 + moved(x), so that the first two lines add up to
        moved(q) + gamma low, and moved(x) times low (1 + gamma).
        """
        gamma = self.gamma(q.x.shape[1])
        moved = q.moved.double()
        low = (1 + moved) * SLACK
        slope = float(low.where(low.isfinite(), 1).amax()) * (1 + gamma) if len(low) else 1.0
        return moved * SLACK + gamma * low * SLACK, slope

    def multiply(self, queries: Tensor, keys: Tensor, *, out: Tensor) -> Tensor:
        """Return the products of rounded queries [q, d] and keys [b, d] in ``out`` [q, b]."""
        return torch.mm(queries, keys.T, out=out)


FP32 = FloatProduct("fp32", torch.float32, 2.0**-24, 0.0)
# A processor's bfloat16 units may truncate where they add, so one addition may err by 2^-23 of its result, and by as
# much again where two products are added first.
BF16 = FloatProduct("bf16", torch.bfloat16, 2.0**-22, 2.0**-8)


def float32_error(d: int, moved: float) -> float:
    """Return how much a float32 product of d components errs, of a query that was not moved and a key moved so far."""
    gamma = FP32.gamma(d)
    return gamma * SLACK * SLACK + SLACK * (1 + gamma) * moved
