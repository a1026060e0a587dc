"""Multinomial logistic regression by preconditioned L-BFGS and by Newton's method, with scikit-learn's objective."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from bench.cost.meter import Repeats, counted_as
from bench.functional.descent import Descent, dot, numbers, squared, waited_for
from bench.functional.newton import minimum
from bench.functional.principal_axes import PrincipalRows
from bench.functional.softmax_curvature import Curvature
from bench.functional.stored_rows import ManyRows

_MEMORY = 10
"""Pairs of steps and slopes that L-BFGS keeps; also how many iterations the preconditioner serves."""

_ROWS = 32_768
"""Rows whose logits are held at a time, at most."""

_LOGITS = 1 << 22
"""Numbers of them: 32 MiB in float64, and four such blocks live at once."""

_SINGLE = 1e-6
"""The tolerance down to which float32 products are precise enough."""

_CURVED = 1 << 26
"""The most class probabilities of all rows that Newton's method holds: 256 MiB in float32."""

_STRONG = 0.03
"""The p from which on float64 is taken. Weights are then about g / p and lower the loss by |g|^2 / 2p, with g its slope
at 0, which is soon less than float32 can tell; and a few iterations are all it takes."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier: weights [c, d] and biases [c]."""

    stored_as: ClassVar = "weights"

    weights: Tensor
    biases: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [n, c] of features [n, d]."""
        return x @ self.weights.T + self.biases


class LogisticRegression:
    """One training set, fitted for any number of values of C, each started from those fitted before.

    Minimises C sum_i CE(W x_i + b, y_i) + |W|^2 / 2 over W and b, the biases unpenalised. With p = 1 / (C n) that is
    C n times

        f(W, b) = (1 / n) sum_i CE(W x_i + b, y_i) + p |W|^2 / 2.

    What makes it quick, none of which moves the optimum:

    - Rows are centred (the biases take up W mean) and turned into their principal axes, x - mean = V z; a rotation
      leaves |W| alone, and fewer rows than dimensions span only as many. In these axes the Hessian is nearly diagonal,
      and its diagonal (1 / n) sum_i q_ic (1 - q_ic) z_ij^2 + p, with q the class probabilities, is one product. It is
      the initial matrix of L-BFGS (Liu & Nocedal, On the limited memory BFGS method, Mathematical Programming 1989)
      and renewed every ten iterations.
    - Below a tolerance of 1e-6 Newton's method takes its place (:mod:`bench.functional.newton`), whose steps are solved
      by conjugate gradients with that diagonal. Above that tolerance L-BFGS needs fewer products.
    - A fit starts on the line in log C through the two solutions nearest to it, where that is the better start.
    - Products are in float32, sums of losses in float64; all is float64 for tolerances below 1e-6, and where p is at
      least 0.03.

    Parameters
    ----------
    x : Tensor or MadeRows [n, d]
        Where they are more than 2^24 numbers they are read block by block, and no copy of them is held.
    columns : int64 Tensor [n]
    n_classes : int
    weights : Tensor [n], optional
        By which the loss of each row counts; 1 unless given.
    max_iterations : int
        Of L-BFGS, for each fit.
    tolerance : float
        A fit stops when its estimated distance to the minimum, f - f*, is at most this share of p |W|^2 / 2. That term
        is a part of f, so f is within this share of the minimum; and f is strongly convex in W with modulus p, so
        |W - W*| is at most sqrt(tolerance) |W|. The estimate is half the quasi-Newton decrement g' H^-1 g.
    """

    def __init__(
        self,
        x: ManyRows,
        columns: Tensor,
        n_classes: int,
        *,
        weights: Tensor | None = None,
        max_iterations: int = 1000,
        tolerance: float = 2e-6,
    ) -> None:
        dtype = torch.float32 if tolerance >= _SINGLE else torch.float64
        self._rows = PrincipalRows.of(x, weights, dtype)
        self._columns, self._n_classes = columns, n_classes
        self._weights = None if weights is None else weights.double()
        self._max_iterations, self._tolerance = max_iterations, tolerance
        self._fitted: dict[float, Tensor] = {}
        self._alike = Repeats()
        self.iterations = 0

    def fit(self, c: float, *, start: Linear | None = None) -> Linear:
        """Return the classifier for one value of C, in float32, in the space of ``x``.

        ``start`` is where L-BFGS begins if nothing has been fitted yet, such as the classifier of a part of the rows.
        Newton's method begins at zero: where the penalty is small, a classifier that is sure of what it has not seen is
        further from the minimum than none.
        """
        penalty = 1.0 / (c * len(self._rows))
        rows = self._rows.to(torch.float64) if penalty >= _STRONG else self._rows
        if self._tolerance < _SINGLE and len(rows) * self._n_classes <= _CURVED:
            first = rows if self._fitted or penalty >= _STRONG else rows.to(torch.float32)
            theta = self._newton(self._start(first, c, penalty, None), penalty)
        else:
            theta = self._minimum(rows, self._start(rows, c, penalty, start), penalty)
        self._fitted[c] = theta
        weights: Tensor = theta[:-1].double().T @ rows.axes.T
        return Linear(weights.float(), (theta[-1].double() - weights @ rows.mean).float())

    def _start(self, rows: PrincipalRows, c: float, penalty: float, given: Linear | None) -> Tensor:
        """Return the best guess at the minimum, [r + 1, c]: weights in the principal axes over the biases."""
        if not self._fitted:
            theta: Tensor = rows.new_zeros(self._n_classes)
            if given is not None:
                weights = given.weights.double()
                theta[:-1] = (weights @ rows.axes).T
                theta[-1] = given.biases.double() + weights @ rows.mean
            return theta
        near = sorted(self._fitted, key=lambda known: abs(math.log(known / c)))[:2]
        theta = self._fitted[near[0]].to(rows.dtype)
        if len(near) < 2 or near[0] == c:
            return theta
        far = self._fitted[near[1]].to(rows.dtype)
        line: Tensor = theta + (theta - far) * (math.log(c / near[0]) / math.log(near[0] / near[1]))
        return line if self._evaluate(rows, line, penalty)[0] < self._evaluate(rows, theta, penalty)[0] else theta

    def _evaluate(
        self, rows: PrincipalRows, theta: Tensor, penalty: float, *, diagonal: bool = False
    ) -> tuple[float, Tensor, Tensor]:
        with self._alike.like(("evaluation", diagonal)):
            return self._evaluated(rows, theta, penalty, diagonal=diagonal)

    def _evaluated(
        self, rows: PrincipalRows, theta: Tensor, penalty: float, *, diagonal: bool
    ) -> tuple[float, Tensor, Tensor]:
        """Return f, its gradient [r + 1, c], and the diagonal of its Hessian [r + 1, c] if that is wanted."""
        weights, n = theta[:-1], len(rows)
        slope, curvature = torch.zeros_like(theta), torch.zeros_like(theta) if diagonal else theta
        loss = theta.new_zeros((), dtype=torch.float64)
        met = rows.met(weights)
        for here, z in rows.blocks(_block(self._n_classes)):
            target = self._columns[here].unsqueeze(1)
            counts = None if self._weights is None else self._weights[here].unsqueeze(1)
            log_q = torch.addmm(theta[-1], z, met).log_softmax(1)
            certain = log_q.gather(1, target)
            q = log_q.exp_()
            if diagonal:
                spread = q * (1 - q)
                if counts is not None:
                    spread.mul_(counts)
                curvature[:-1].addmm_(rows.squares(z).T, spread)
                curvature[-1] += spread.sum(0)
            # 1 - q of the right class is summed over the others: near 0 a difference would be all rounding.
            q.scatter_(1, target, 0.0)
            rest = q.sum(1, keepdim=True)
            q.scatter_(1, target, -rest)
            losses = torch.where(rest < 0.5, -torch.log1p(-rest), -certain)
            if counts is not None:
                losses, q = losses * counts, q.mul_(counts)
            loss += losses.sum(dtype=torch.float64)
            slope[:-1].addmm_(z.T, q)
            slope[-1] += q.sum(0)
        rows.turn_(slope[:-1])
        slope /= n
        slope[:-1].add_(weights, alpha=penalty)
        if diagonal:
            curvature /= n
            curvature[:-1] += penalty
            # A class that is certain everywhere, or a penalty below rounding, must not divide by zero.
            curvature.clamp_(min=torch.finfo(theta.dtype).tiny ** 0.5)
        total, square = numbers(loss, squared(weights))
        return total / n + penalty * square / 2, slope, curvature

    def _minimum(self, rows: PrincipalRows, theta: Tensor, penalty: float) -> Tensor:
        """Return the minimum of f, by L-BFGS from ``theta``."""
        value, slope, diagonal = self._evaluate(rows, theta, penalty, diagonal=True)
        pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=_MEMORY)
        scale, descent = 1.0, Descent(self._tolerance * penalty, theta.dtype)
        for iteration in range(1, self._max_iterations + 1):
            # A pair takes two products and two additions of all numbers, and the diagonal one of each.
            size, count = slope.numel(), len(pairs)
            with counted_as(products=4 * count * size, elementwise=(2 * count + 2) * size):
                direction = _direction(slope, pairs, diagonal, scale)
            renew = iteration % _MEMORY == 0
            evaluate = partial(self._evaluate, rows, penalty=penalty, diagonal=renew)
            found = descent.step(theta, direction, value, slope, evaluate)
            if found is None:
                break
            after, (new_value, new_slope, new_diagonal) = found
            step, change = after - theta, new_slope - slope
            theta, value, slope = after, new_value, new_slope
            diagonal = new_diagonal if renew else diagonal
            product, length = numbers(dot(step, change), dot(change, change / diagonal))
            if product > 0 and length > 0:
                pairs.append((step, change, 1 / product))
                scale = product / length
            self.iterations += 1
        return theta

    def _newton(self, theta: Tensor, penalty: float) -> Tensor:
        """Return the minimum of f, by Newton's method from ``theta``."""
        by_dtype = {dtype: self._rows.to(dtype) for dtype in (torch.float32, torch.float64)}
        weights = None if self._weights is None else self._weights.float().unsqueeze(1)

        def curvature(theta: Tensor) -> Curvature:
            with self._alike.like("probabilities"):
                return Curvature(by_dtype[torch.float32], theta.float(), self._columns, penalty, weights)

        theta, steps = minimum(
            theta,
            lambda theta: self._evaluate(by_dtype[theta.dtype], theta, penalty),
            curvature,
            penalty=penalty,
            tolerance=self._tolerance,
            most=self._max_iterations,
            alike=self._alike,
        )
        self.iterations += steps
        # One number may be added to all biases; steps in float32 drift along that.
        theta = theta.clone()
        theta[-1] -= theta[-1].mean()
        return theta


def _block(n_classes: int) -> int:
    """Return how many rows' logits are held at a time."""
    return max(1, min(_ROWS, _LOGITS // max(1, n_classes)))


def _direction(slope: Tensor, pairs: deque[tuple[Tensor, Tensor, float]], diagonal: Tensor, scale: float) -> Tensor:
    """Return H^-1 g by the two-loop recursion; a step goes against it.

    H begins as the diagonal over ``scale``, which fits it to the last pair. Elsewhere than on the CPU the shares stay
    on the device: to take each as a number would be to wait for it, twenty times a direction.
    """
    direction, shares = slope.clone(), []
    for step, change, inverse in reversed(pairs):
        shares.append(inverse * _share(step, direction))
        _add(direction, change, -shares[-1])
    direction.mul_(scale).div_(diagonal)
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        _add(direction, step, share - inverse * _share(change, direction))
    return direction


def _share(a: Tensor, b: Tensor) -> float | Tensor:
    product = dot(a, b)
    return product.double() if waited_for(product) else float(product)


def _add(total: Tensor, a: Tensor, share: float | Tensor) -> None:
    """Add a share of ``a`` in place."""
    if isinstance(share, float):
        total.add_(a, alpha=share)
    else:
        total.add_(a * share.to(a.dtype))
