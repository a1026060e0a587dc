"""The Hessian of a softmax regression, applied and inverted without being made."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.cost.meter import Repeats, counted_as
from bench.functional.principal_axes import PrincipalRows

_PASSES = 14
"""Numbers written a parameter in an iteration of conjugate gradients, the product with the Hessian left out."""

_NUMBERS = 1 << 22
"""Class probabilities that are worked on at a time, 16 MiB in float32; those of all rows are held."""


class Curvature:
    """The Hessian of (1 / n) sum_i CE(W'z_i + b, y_i) + p |W|^2 / 2 at some W and b.

    Of a direction V with u_i = V'z_i + v it is (1 / n) sum_i z_i (q_i * (u_i - q_i'u_i)) + p V, q_i the class
    probabilities. Adding one number to all of u_i changes nothing, so that of the right class is taken off, and where q
    of that class is near 1 no difference of near numbers is left.

    Parameters
    ----------
    rows : PrincipalRows [n, r]
        z.
    theta : Tensor [r + 1, c]
        Weights over biases.
    columns : int64 Tensor [n]
        The right classes.
    penalty : float
    weights : Tensor [n, 1], optional
        By which the loss of each row counts.
    """

    def __init__(
        self, rows: PrincipalRows, theta: Tensor, columns: Tensor, penalty: float, weights: Tensor | None = None
    ) -> None:
        self._rows, self._right, self._penalty, self._weights = rows, columns.unsqueeze(1), penalty, weights
        n, self._step = len(rows), max(1, _NUMBERS // max(1, theta.shape[1]))
        self._q, self._certain = theta.new_empty(n, theta.shape[1]), theta.new_empty(n, 1)
        diagonal, met = torch.zeros_like(theta), rows.met(theta[:-1])
        for here, z in rows.blocks(self._step):
            right = self._right[here]
            q = torch.addmm(theta[-1], z, met).softmax(1).scatter_(1, right, 0.0)
            rest = q.sum(1, keepdim=True).clamp_(max=1)
            self._q[here], self._certain[here] = q, 1 - rest
            spread = (q * (1 - q)).scatter_(1, right, rest * self._certain[here])
            if weights is not None:
                spread.mul_(weights[here])
            diagonal[:-1].addmm_(rows.squares(z).T, spread)
            diagonal[-1] += spread.sum(0)
        diagonal /= n
        diagonal[:-1] += penalty
        # A class that is certain everywhere must not divide by zero.
        self._diagonal = diagonal.clamp_(min=torch.finfo(theta.dtype).tiny ** 0.5)

    def __call__(self, direction: Tensor) -> Tensor:
        """Return the product with a direction [r + 1, c]."""
        found, met = torch.zeros_like(direction), self._rows.met(direction[:-1])
        for here, z in self._rows.blocks(self._step):
            right, q = self._right[here], self._q[here]
            u = torch.addmm(direction[-1], z, met)
            u -= u.gather(1, right)
            mean = (q * u).sum(1, keepdim=True)
            u.sub_(mean).mul_(q).scatter_(1, right, -self._certain[here] * mean)
            if self._weights is not None:
                u.mul_(self._weights[here])
            found[:-1].addmm_(z.T, u)
            found[-1] += u.sum(0)
        self._rows.turn_(found[:-1])
        found /= len(self._rows)
        found[:-1].add_(direction[:-1], alpha=self._penalty)
        return found

    def solve(self, slope: Tensor, share: float, most: int, alike: Repeats) -> tuple[Tensor, float]:
        """Return a step d with H d near the slope g, and how near, by preconditioned conjugate gradients.

        (Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, algorithms 5.3 and 7.1.) d'g is below
        g' H^-1 g, by about ``share`` squared of it.

        Parameters
        ----------
        slope : Tensor [r + 1, c]
        share : float
            The residual to be left, as a share of the slope, both measured by the inverse of the diagonal.
        most : int
            Iterations at most.
        alike : Repeats
            What counts the products with the Hessian.
        """
        found, left = torch.zeros_like(slope), slope.clone()
        scaled = left / self._diagonal
        along = scaled.clone()
        size = (left * scaled).sum()
        left_squared = whole = float(size)
        for _ in range(most):
            with alike.like("curvature"):
                product = self(along)
            with counted_as(products=4 * slope.numel(), elementwise=_PASSES * slope.numel()):
                step = size / (along * product).sum()
                found.addcmul_(along, step)
                left.addcmul_(product, step, value=-1)
                scaled = left / self._diagonal
                before, size = size, (left * scaled).sum()
            left_squared = float(size)
            # A number that is none ends it as well.
            if not left_squared > share * share * whole:
                break
            along.mul_(size / before).add_(scaled)
        return found, (left_squared / whole) ** 0.5 if whole else 0.0
