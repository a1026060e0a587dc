"""The least value of a function of one number."""

from __future__ import annotations

import math
from collections.abc import Callable

_GOLDEN = 0.5 * (3 - math.sqrt(5))
_ROUNDING = math.sqrt(2.2e-16)


def bounded_minimum(
    function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-5, most: int = 500
) -> float:
    """Return where a function is least between two bounds, if it falls and then rises.

    Brent, Algorithms for Minimization without Derivatives, 1973, chapter 5: the minimum of a parabola through the last
    three points where that is trusted, a golden section where it is not. The steps, and so the result to its last bit,
    are those of scipy's ``minimize_scalar(method="bounded")``, which takes longer to import than a small run to finish.

    Parameters
    ----------
    tolerance : float
        How far from the minimum the result may be.
    most : int
        Evaluations at which it ends in any case.
    """
    best = second = third = low + _GOLDEN * (high - low)
    at_best = at_second = at_third = function(best)
    step = before = 0.0
    for _ in range(most - 1):
        middle = 0.5 * (low + high)
        near = _ROUNDING * abs(best) + tolerance / 3
        if not abs(best - middle) > 2 * near - 0.5 * (high - low):
            break
        trusted = False
        if abs(before) > near:
            r = (best - second) * (at_best - at_third)
            q = (best - third) * (at_best - at_second)
            p = (best - third) * q - (best - second) * r
            q = 2 * (q - r)
            p, q = (-p if q > 0 else p), abs(q)
            r, before = before, step
            trusted = abs(p) < abs(0.5 * q * r) and q * (low - best) < p < q * (high - best)
            if trusted:
                step = p / q
                x = best + step
                if x - low < 2 * near or high - x < 2 * near:
                    step = near if middle >= best else -near
        if not trusted:
            before = low - best if best >= middle else high - best
            step = _GOLDEN * before
        x = best + (max(abs(step), near) if step >= 0 else -max(abs(step), near))
        value = function(x)
        if value <= at_best:
            low, high = (best, high) if x >= best else (low, best)
            third, at_third, second, at_second, best, at_best = second, at_second, best, at_best, x, value
            continue
        low, high = (x, high) if x < best else (low, x)
        if value <= at_second or second == best:
            third, at_third, second, at_second = second, at_second, x, value
        elif value <= at_third or third in (best, second):
            third, at_third = x, value
    return best
