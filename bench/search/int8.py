"""The product of vectors rounded to 8 bits: twice as fast as in bfloat16, and four times as coarse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from bench.functional.classwise import normalise
from bench.search.rounded_products import ROWS, SLACK, Rounded, Symmetric
from bench.search.units import multiply_int8
from bench.utils.random import Stream

_LARGEST = 127
_SMALLEST = 2.0**-20
"""More than float32 errs where it multiplies counts by a step and subtracts, or scales a product, for unit vectors."""


@dataclass(frozen=True)
class Int8Product(Symmetric):
    """Products of vectors that were turned by an orthogonal matrix and rounded to whole numbers of a step.

    Encoders put much of a vector's length into a few components, and a step coarse enough for those loses the others.
    Turning keeps every dot product and makes all components alike. Sums of whole numbers are exact in int32. A query
    has a step of its own; keys that lie together share one, so that their largest product is known before it is
    scaled. With y the vectors as float32 turns them and r the rounded ones times their step, for q and x of norm 1:

        |q.x - y(q).y(x)|       <=  turn                                                (:func:`turn_error`)
        |y(q).y(x) - r(q).r(x)| <=  |y(q) - r(q)| |y(x)| + |r(q)| |y(x) - r(x)|         (Cauchy and Schwarz)

    Vectors of up to 2^17 dimensions keep the sums below 2^31.
    """

    name: str = "int8"
    dtype: torch.dtype = torch.int8
    score_dtype: torch.dtype = torch.int32
    out: float = 0.0
    spare: int = 1

    def width(self, d: int) -> int:
        """Return d."""
        return d

    def round(self, x: Tensor, group: int = 1) -> Rounded:
        """Return the unit vectors of x [n, d], turned, as counts of their step; ``group`` rows in a row share one."""
        return Rounded.of(*counts_of_steps(x, _LARGEST, torch.int8, group=group))

    def bound(self, q: Rounded) -> tuple[Tensor, float]:
        """Return ``fixed`` of each query, float64 [q], and ``slope``."""
        return bound_of_counts(q)

    def multiply(self, queries: Tensor, keys: Tensor, *, out: Tensor) -> Tensor:
        """Return the unscaled products of rounded queries [q, d] and keys [b, d] in ``out`` [q, b]."""
        multiply_int8(queries, keys, out)
        return out


INT8 = Int8Product()


def bound_of_counts(q: Rounded) -> tuple[Tensor, float]:
    """Return ``fixed`` of each turned and rounded query, float64 [q], and ``slope``.

    |y| <= SLACK, and |r(q)| <= SLACK + moved(q).
    """
    moved = q.moved.double()
    slope = SLACK + float(moved.where(moved.isfinite(), 0).amax()) if len(moved) else 1.0
    return turn_error(q.x.shape[1]) + SLACK * moved + _SMALLEST, slope


def counts_of_steps(
    x: Tensor, largest: int, dtype: torch.dtype, *, group: int = 1, least: float = _SMALLEST, zero: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unit vectors of x [n, d], turned, as whole numbers of a step; ``group`` rows in a row share one.

    Parameters
    ----------
    x : Tensor [n, d]
    largest : int
        The largest number, of the component that is largest among the vectors that share a step.
    dtype : torch.dtype
        Of the whole numbers.
    group : int
    least : float
        The smallest step.
    zero : int
        What is added to the whole numbers.

    Returns
    -------
    counts : Tensor [n, d]
    moved : float32 Tensor [n]
        At least the distance between a turned vector and its rounded one; not a number where the vector is not.
    steps : float32 Tensor [n]
    """
    x = x.detach()
    rounded = torch.empty(x.shape, dtype=dtype)
    moved, scale = torch.empty(len(x)), torch.empty(len(x))
    rows = ROWS // group * group
    for start in range(0, len(x), rows):
        here = slice(start, start + rows)
        turned = turn(normalise(x[here].contiguous()))
        most = torch.linalg.vector_norm(turned, torch.inf, dim=1).nan_to_num_()
        shared = F.pad(most, (0, -len(most) % group)).view(-1, group).amax(1)
        scale[here] = step = (shared / largest).clamp_(min=least).repeat_interleave(group)[: len(most)]
        counts = (turned / step.unsqueeze(1)).round_()
        rounded[here].copy_(counts + zero if zero else counts)
        torch.linalg.vector_norm(turned.sub_(counts.mul_(step.unsqueeze(1))), dim=1, out=moved[here])
    return rounded, moved.mul_(SLACK).add_(_SMALLEST), scale


def turn(x: Tensor) -> Tensor:
    """Return vectors [n, d] turned by a fixed orthogonal matrix, float32 [n, d].

    The matrix is random signs, then a cosine transform (DCT-II) in each of two dimensions of sizes a and b with
    a b = d: no entry is larger than 2 / sqrt(d), so that no one component can stay large, and it costs 2 d (a + b)
    operations a vector instead of 2 d^2. The order of the components does not matter to dot products.
    """
    n, d = x.shape
    signs, rows, columns = _matrices(d)
    a, b = len(rows), len(columns)
    half = ((x * signs).view(n * a, b) @ columns).view(n, a, b)
    return (half.transpose(1, 2).reshape(n * b, a) @ rows).view(n, d)


@cache
def turn_error(d: int) -> float:
    """Return how much turning two unit vectors in float32 changes their dot product, at most.

    A product with an orthogonal n x n matrix errs by gamma_n times its Frobenius norm sqrt(n) (Higham, 2002, section
    3.5), and by 2^-24 sqrt(n) since the matrix was itself rounded. Each of two vectors is multiplied twice.
    """
    sizes = [len(matrix) for matrix in _matrices(d)[1:]]
    once = sum((n + 1) * 2.0**-24 / (1 - n * 2.0**-24) * math.sqrt(n) for n in sizes)
    return 2 * SLACK**2 * once * (1 + once)


@cache
def _matrices(d: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the signs [d] and both matrices [a, a] and [b, b]; a is the largest divisor up to sqrt(d)."""
    a = next(n for n in range(math.isqrt(d), 0, -1) if d % n == 0)
    signs = torch.from_numpy(Stream(0).child("turn", d).numpy().choice(np.array([-1, 1], dtype=np.float32), d))
    # Imported when keys are first turned: it takes a third of the time to load a classifier, which turns none.
    from scipy import fft

    rows, columns = (torch.from_numpy(fft.dct(np.eye(n), norm="ortho")).float() for n in (a, d // a))
    return signs, rows, columns
