"""The product of keys rounded to 7 bits and queries rounded to 8, for processors without units for 8 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.search.int8 import bound_of_counts, counts_of_steps
from bench.search.packed import COARSE, FINE, STORED, ZERO, multiply, pack
from bench.search.rounded_products import SLACK, Rounded

_LEAST = 3.0
"""Steps of keys are at least those of a vector whose largest component is so many times as long as all on average.

The largest of 512 random components is 3.1 times. With steps that are not far apart a byte tells products finely."""
_LARGEST = 1.01
"""What the largest byte stands for at least: more than a product of unit vectors is."""

ERROR = 0.029
"""What a score of 512 dimensions errs by, at most, where no component is long after the turn."""
_SHARE, _LOOK, _FIRST = 0.55, 60.0, 4000.0
"""What the product costs, to find and compare one candidate, and to find the first floor, in float32 products."""


@dataclass(frozen=True)
class Int7Product:
    """Products of vectors that were turned as for 8 bits, where keys are whole numbers up to 63 and queries up to 127.

    Sums of whole numbers are exact. Each is multiplied by the step of its query and stored as a whole number from 0 to
    255, which errs by half of one; one stands for ``unit`` t, t being the step of a group of keys. What lies below
    zero is stored as zero, which is above it, and 255 stands for more than any q.x. So, with the names of
    :class:`bench.search.int8.Int8Product`,

        q.x - s  <=  turn + |y(q) - r(q)| |y(x)| + |r(q)| |y(x) - r(x)| + 0.51 unit t

    where ``moved`` of a key holds the last two. As with :class:`bench.search.prefix.PrefixProduct`, q.x may lie far
    below s.
    """

    name: str = "int7"
    dtype: torch.dtype = torch.uint8
    score_dtype: torch.dtype = torch.uint8
    out: float = 0.0
    spare: int = 1
    most: float = 0.75

    def width(self, d: int) -> int:
        """Return d."""
        return d

    def round(self, x: Tensor, group: int = 1) -> Rounded:
        """Return unit vectors of keys x [n, d], turned, as counts of their step; ``group`` rows in a row share one."""
        d = x.shape[1]
        least = _LEAST / COARSE / math.sqrt(d)
        rounded, moved, steps = counts_of_steps(x, COARSE, torch.uint8, group=group, least=least, zero=ZERO)
        return Rounded.of(rounded, moved.add_(STORED * SLACK * _unit(d) * steps), steps)

    def round_queries(self, x: Tensor) -> Rounded:
        """Return unit vectors of queries x [n, d], turned, as counts of a step of their own."""
        return Rounded.of(*counts_of_steps(x, FINE, torch.int8))

    def prepared(self, queries: Rounded) -> tuple[Any, Tensor]:
        """Return rounded queries, packed, and what a stored product is multiplied with beside the key's step, [q]."""
        unit = _unit(queries.x.shape[1])
        return pack(queries.x, queries.scale.double() / unit), torch.full_like(queries.scale, unit)

    def bound(self, q: Rounded) -> tuple[Tensor, float]:
        """Return ``fixed`` of each query, float64 [q], and ``slope``."""
        return bound_of_counts(q)

    def multiply(self, queries: Any, keys: Tensor, *, out: Tensor) -> Tensor:
        """Return the stored products of packed queries and rounded keys [b, d], [q, b], in memory of their own."""
        return multiply(keys, queries).T


INT7 = Int7Product()


def int7_cost(near: float, total: int) -> float:
    """Return what this product costs, as a share of the float32 one, if such a share of so many keys is looked at."""
    return _SHARE + _LOOK * near + _FIRST / total


def _unit(d: int) -> float:
    """Return what one stored product stands for with a key's step of 1, so that none is above 255."""
    return _LARGEST * COARSE * math.sqrt(d) / (_LEAST * 255)
