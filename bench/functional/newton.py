"""Newton's method for a softmax regression, each step no more precise than what it is to gain."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bench.cost.meter import Repeats
from bench.functional.descent import Descent, dot, numbers, squared
from bench.functional.softmax_curvature import Curvature

_LOOSE, _TIGHT = 0.5, 1e-3
"""The shares of a slope that a step may leave; float32 gets no further than the second."""
_STEPS, _FEW = 300, 10
"""Products with the Hessian for a step, at most; the second where the function is far from its quadratic."""
_NEAR = 1e-2
"""The estimated distance to the minimum, as a share of p |W|^2 / 2, from which on slopes are in float64."""

_SPARE = 10.0
"""How many times nearer the last step must promise to lead than is asked for, since it is not looked at."""

_Values = tuple[float, Tensor, Tensor]


def minimum(
    theta: Tensor,
    evaluate: Callable[[Tensor], _Values],
    curvature: Callable[[Tensor], Curvature],
    *,
    penalty: float,
    tolerance: float,
    most: int,
    alike: Repeats,
) -> tuple[Tensor, int]:
    """Return the minimum of a function f, float64 [r + 1, c], and in how many steps it was found.

    A step is solved by conjugate gradients until |g - H d| is a share s of |g|. With a contraction t = |g| / |g before|
    the next slope is about max(s, t^2) |g|, for the error of a Newton step is quadratic. So s = 0.9 t^2 (Eisenstat and
    Walker, Choosing the forcing terms in an inexact Newton method, SIAM J. Sci. Comput. 1996, choice 2), within
    [1e-3, 0.5] and no less than the last step needs. When s and t say that the distance to the minimum after a step
    is below ``tolerance``, that step is taken without a look at what it leads to. Values and slopes are in the
    precision of ``theta`` until the minimum is near; steps are in float32.

    Parameters
    ----------
    theta : Tensor [r + 1, c]
        Where to begin: weights over biases.
    evaluate : callable
        Gives f, its slope and something that nobody reads, in the precision of what it is given.
    curvature : callable
        Gives the Hessian.
    penalty : float
        p.
    tolerance : float
        Of f - f*, as a share of p |W|^2 / 2.
    most : int
        Steps at most.
    alike : Repeats
        What counts the products with the Hessian.
    """
    value, slope, _ = evaluate(theta)
    descent, share, near = Descent(0.0, theta.dtype), _LOOSE, False
    (length,) = numbers(slope.norm())
    before, wanted, steps = length, tolerance / _SPARE, 0
    while steps < most and length > 0:
        contraction = min(1.0, length / before)
        # Of length one, for float32 has no numbers as small as what is left of a slope.
        unit = (slope / length).float()
        step, left = curvature(theta).solve(unit, share, _STEPS if near else _FEW, alike)
        step = step.to(theta.dtype) * length
        decrement, square = numbers(dot(slope, step), squared(theta[:-1]))
        distance = decrement / max(penalty * square, 1e-300)
        near = distance <= _NEAR
        theta = theta.double() if near else theta
        # Far from the minimum a slope may shrink without being near to it, where all classes are certain for a while.
        if near and distance * max(left**2, contraction**4) <= wanted:
            return theta - step, steps + 1
        if theta.dtype != slope.dtype:
            slope, step, descent = slope.double(), step.double(), Descent(0.0, theta.dtype)
        found = descent.step(theta, step, value, slope, evaluate)
        if found is None:
            break
        theta, (value, slope, _) = found if steps else _halved(theta, *found, evaluate)
        before, (length,) = length, numbers(slope.norm())
        contraction = length / before
        needed = (wanted / (distance * contraction**2 + 1e-300)) ** 0.5 if near else 0.0
        share = min(_LOOSE, max(_TIGHT, 0.9 * contraction**2, needed))
        steps += 1
    return theta.double(), steps


def _halved(
    start: Tensor, end: Tensor, there: _Values, evaluate: Callable[[Tensor], _Values]
) -> tuple[Tensor, _Values]:
    """Return where the function is least of a step's end, its half, the half of that and so on, and what it is there.

    From zero a step may lead to where all classes are certain and the penalty alone is left, many times too far; from
    there each further step would only take some of that back.
    """
    while True:
        half = (start + end) / 2
        found = evaluate(half)
        if not found[0] < there[0]:
            return end, there
        end, there = half, found
