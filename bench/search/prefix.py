"""The product of vectors turned to the principal axes of the keys and cut off, with a bound for what was cut off."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.functional.classwise import normalise
from bench.search.rounded_products import FP32, ROWS, SLACK, Rounded, Symmetric
from bench.search.sgemm import multiply_float32
from bench.utils.random import Stream

_CHUNK = 64
"""Components whose products are added up together; the sums of the chunks are added up after, which errs less."""
_SAMPLE = 1 << 11
"""Keys, at most, whose principal axes are taken and whose scores tell whether a product pays."""
_AXES = 1 << 13
"""Keys, at most, whose principal axes are taken; others than those of the sample where there are enough."""
_ASKED = 64
"""Queries, at most, whose scores tell whether a product pays."""
_ROUNDING = 2.0**-20
"""More than float32 errs in the few operations on a number up to 1 that make a length of a norm."""
_STEPS = 16
"""Numbers of axes that are tried, in equal steps."""
_LOOK = 80.0
"""What it costs to find and compare one candidate, in float32 products of whole vectors."""
WORTH = 0.75
"""A product that costs more than this share of the whole one is not used."""
_FLAT = 4.0
"""Keys that spread as if over all but this part of the axes have no short prefix, and their axes are not computed."""


@dataclass(frozen=True, eq=False)
class PrefixProduct(Symmetric):
    """Products of the components of vectors along some axes, and of the lengths of what is left of them.

    Let V [d, p] be the axes, E = V'V - I and h(x) = V'x. With the rest r(x) = x - V h(x),

        q.x = h(q).h(x) - h(q)'E h(x) + r(q).r(x),     |r(x)|^2 = |x|^2 - |h(x)|^2 + h(x)'E h(x)

    and r(q).r(x) <= |r(q)| |r(x)| by Cauchy and Schwarz. So the product of the vectors (h(x), t(x)) with t(x) at least
    |r(x)| is at least q.x, but for the error of the heads, of E and of its sum, which :meth:`bound` states. Unlike that
    of a rounded product it may be far above q.x: only  q.x <= s + fixed(q) + moved(x)  holds.

    Attributes
    ----------
    axes : float32 Tensor [d, p]
        Columns of norm 1, orthogonal to each other but for rounding.
    """

    axes: Tensor
    name: str = "prefix"
    dtype: torch.dtype = torch.float32
    score_dtype: torch.dtype = torch.float32
    out: float = 0.0
    spare: int = 4

    def width(self, d: int) -> int:
        """Return how many numbers a vector of d components has as this product sees it."""
        return self.axes.shape[1] + 1

    @cached_property
    def _skew(self) -> float:
        """Return at least the norm of E, which float64 knows."""
        axes = self.axes.double()
        return SLACK * float(torch.linalg.matrix_norm(axes.T @ axes - torch.eye(axes.shape[1], dtype=torch.float64)))

    @cached_property
    def _moved(self) -> float:
        """Return how far float32 moves the head of a unit vector, at most.

        Each component is a sum of d products, none of which is rounded more often than there are terms in a chunk and
        chunks. It errs by gamma of that number times |V_j| |x| (Higham, 2002, section 3.1).
        """
        d, p = self.axes.shape
        return SLACK * FP32.gamma(min(d, _CHUNK) + -(-d // _CHUNK)) * math.sqrt(p * (1 + self._skew))

    def round(self, x: Tensor, group: int = 1) -> Rounded:
        """Return the heads of the unit vectors of x [n, d] and the lengths of what is left, float32 [n, p + 1].

        With v the computed head, |x|^2 - |h|^2 + h'E h <= |x|^2 - |v|^2 + 2 moved |h| + skew |h|^2. A float32 norm of d
        numbers errs by less than gamma_d of itself, so a unit vector's square by less than three times that.
        """
        x = x.detach()
        d, p = self.axes.shape
        rounded, moved = torch.empty(len(x), p + 1), torch.empty(len(x))
        more = SLACK * (3 * FP32.gamma(d) + FP32.gamma(p) + 2 * self._moved + self._skew) + _ROUNDING
        for start in range(0, len(x), ROWS):
            here = slice(start, start + ROWS)
            unit = normalise(x[here].contiguous())
            head = torch.mm(unit[:, :_CHUNK], self.axes[:_CHUNK])
            for c in range(_CHUNK, d, _CHUNK):
                head += torch.mm(unit[:, c : c + _CHUNK], self.axes[c : c + _CHUNK])
            rounded[here, :p] = head
            squared = torch.linalg.vector_norm(head, dim=1).square_()
            rounded[here, p] = squared.neg().add_(1 + more).clamp_(min=0).sqrt_()
            # Nothing, or not a number.
            moved[here] = squared.mul_(0)
        return Rounded.of(rounded, moved, torch.ones(len(x)))

    def bound(self, q: Rounded) -> tuple[Tensor, float]:
        """Return ``fixed`` of each query, float64 [q], and ``slope``.

        The heads, of norm up to SLACK, err by ``moved`` each, E adds ``skew`` times both, and the float32 sum of p + 1
        products of vectors, of norm up to SLACK^2, gamma.
        """
        heads = 2 * self._moved * SLACK**2 + self._skew * SLACK**2
        fixed = q.moved.double() + heads + FP32.gamma(q.x.shape[1]) * SLACK**4
        return fixed, 1.0

    def multiply(self, queries: Tensor, keys: Tensor, *, out: Tensor) -> Tensor:
        """Return the products of rounded queries [q, p + 1] and keys [b, p + 1] in ``out`` [q, b]."""
        multiply_float32(queries, keys, out)
        return out


@dataclass(frozen=True, eq=False)
class Sample:
    """Some keys, turned to their own principal axes, that tell what a product of so many axes would cost.

    Attributes
    ----------
    total : int
        How many keys they were drawn from.
    axes : float32 Tensor [d, d], optional
        From the one along which the keys are longest down; None of keys that are as long along all axes.
    turned : float32 Tensor [s, d]
        The keys along them, or as they are.
    """

    total: int
    axes: Tensor | None
    turned: Tensor

    @classmethod
    def of(cls, keys: Tensor, *, forced: bool = False) -> Sample | None:
        """Return a sample of keys [m, d] drawn by a fixed seed; None of keys that are not numbers.

        ``forced`` computes axes of keys that are as long along all of them too.
        """
        m, d = keys.shape
        drawn = torch.from_numpy(Stream(0).child("search", "sample").permutation(m)[: _AXES + _SAMPLE])
        x = normalise(keys.detach()[drawn].contiguous())
        x = x[x.isfinite().all(1)]
        # Their own axes would tell more of keys than those of others do.
        some = x[-_AXES:]
        moments = some.T @ some / max(1, len(some))
        # Of eigenvalues that add up to 1, the sum of squares is one over the number of axes they spread over.
        flat = float(moments.square().sum()) * d < _FLAT
        if not len(x):
            return None
        if flat and not forced:
            return cls(m, None, x[:_SAMPLE])
        axes = torch.linalg.eigh(moments).eigenvectors.flip(1).contiguous()
        return cls(m, axes, x[:_SAMPLE] @ axes)

    def _asked(self, q: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return some of the queries along the axes, and their scores with the sample, less what k keys reach."""
        asked = q[:: max(1, len(q) // _ASKED)][:_ASKED]
        asked = asked[asked.isfinite().all(1)]
        turned, s = asked if self.axes is None else asked @ self.axes, len(self.turned)
        scores = turned @ self.turned.T
        rank = min(s, max(1, round(k * s / self.total)))
        return turned, scores - scores.topk(rank, dim=1).values[:, -1:]

    def near(self, q: Tensor, k: int, error: float) -> float:
        """Return the share of keys that a product may take for one of the k nearest that errs by so much."""
        missing = self._asked(q, k)[1]
        return float((missing + error >= 0).float().mean()) if len(missing) else 1.0

    def costs(self, q: Tensor, k: int, numbers: Iterable[int]) -> dict[int, float]:
        """Return what products of so many axes cost for the k nearest of some queries, as shares of the whole one."""
        d, s = self.turned.shape[1], len(self.turned)
        turned, missing = self._asked(q, k)
        if not len(turned):
            return dict.fromkeys(numbers, 1.0)
        floor = turned @ self.turned.T - missing
        heads, done, costs = torch.zeros(len(turned), s), 0, {}
        for p in numbers:
            heads += turned[:, done:p] @ self.turned[:, done:p].T
            tails = torch.outer(*(torch.linalg.vector_norm(x[:, p:], dim=1) for x in (turned, self.turned)))
            costs[p] = p / d + _LOOK * float((heads + tails >= floor).float().mean())
            done = p
        return costs

    def product(
        self, q: Tensor, k: int, known: PrefixProduct | None = None, *, forced: bool = False
    ) -> tuple[float, PrefixProduct] | None:
        """Return what the product that costs least for the k nearest of some queries costs, and it.

        Parameters
        ----------
        q : float32 Tensor [q, d]
            Unit vectors.
        k : int
        known : PrefixProduct, optional
            One of this sample that keys have been rounded for, which is returned if it pays.
        forced : bool
            Return that one in any case.
        """
        if self.axes is None:
            return None
        d = len(self.axes)
        if known is not None:
            p = known.axes.shape[1]
            cost = self.costs(q, k, [p])[p]
            if forced or cost < WORTH:
                return cost, known
        step = max(1, d // _STEPS)
        # One number of a vector is the length of what is left.
        costs = self.costs(q, k, range(max(1, step - 1), max(2, d - 1), step))
        best = min(costs, key=lambda p: costs[p])
        return costs[best], PrefixProduct(self.axes[:, :best].contiguous())
