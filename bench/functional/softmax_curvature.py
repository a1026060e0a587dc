"""The Hessian of a softmax regression, applied and inverted without being made."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.cost.meter import Repeats, counted_as

_PASSES = 14
"""Numbers written a parameter in an iteration of conjugate gradients, the product with the Hessian left out."""


class Curvature:
    """The Hessian of (1 / n) sum_i CE(W'z_i + b, y_i) + p |W|^2 / 2 at some W and b.

    Of a direction V with u_i = V'z_i + v it is (1 / n) sum_i z_i (q_i * (u_i - q_i'u_i)) + p V, q_i the class
    probabilities. Adding one number to all of u_i changes nothing, so that of the right class is taken off, and where q
    of that class is near 1 no difference of near numbers is left.

    Parameters
    ----------
    z : Tensor [n, r]
    theta : Tensor [r + 1, c]
        Weights over biases.
    columns : int64 Tensor [n]
        The right classes.
    penalty : float
    weights : Tensor [n, 1], optional
        By which the loss of each row counts.
    """

    def __init__(
        self, z: Tensor, theta: Tensor, columns: Tensor, penalty: float, weights: Tensor | None = None
    ) -> None:
        self._z, self._right, self._penalty, self._weights = z, columns.unsqueeze(1), penalty, weights
        self._q = torch.addmm(theta[-1], z, theta[:-1]).softmax(1).scatter_(1, self._right, 0.0)
        rest = self._q.sum(1, keepdim=True).clamp_(max=1)
        self._certain = 1 - rest
        spread = (self._q * (1 - self._q)).scatter_(1, self._right, rest * self._certain)
        if weights is not None:
            spread.mul_(weights)
        diagonal = torch.empty_like(theta)
        diagonal[:-1] = torch.mm(z.square().T, spread).div_(len(z)).add_(penalty)
        diagonal[-1] = spread.sum(0) / len(z)
        # A class that is certain everywhere must not divide by zero.
        self._diagonal = diagonal.clamp_(min=torch.finfo(theta.dtype).tiny ** 0.5)

    def __call__(self, direction: Tensor) -> Tensor:
        """Return the product with a direction [r + 1, c]."""
        u = torch.addmm(direction[-1], self._z, direction[:-1])
        u -= u.gather(1, self._right)
        mean = (self._q * u).sum(1, keepdim=True)
        u.sub_(mean).mul_(self._q).scatter_(1, self._right, -self._certain * mean)
        if self._weights is not None:
            u.mul_(self._weights)
        found = torch.empty_like(direction)
        torch.mm(self._z.T, u, out=found[:-1])
        torch.sum(u, 0, out=found[-1])
        found /= len(self._z)
        found[:-1].add_(direction[:-1], alpha=self._penalty)
        return found

    def solve(self, slope: Tensor, share: float, most: int, alike: Repeats) -> Tensor:
        """Return a step d with H d near the slope g, by conjugate gradients with the diagonal for a preconditioner.

        (Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, algorithms 5.3 and 7.1.) d'g is below
        g' H^-1 g, by about ``share`` squared of it.

        Parameters
        ----------
        slope : Tensor [r + 1, c]
        share : float
            The residual left, as a share of the slope, both measured by the inverse of the diagonal.
        most : int
            Iterations at most.
        alike : Repeats
            What counts the products with the Hessian.
        """
        found, left = torch.zeros_like(slope), slope.clone()
        scaled = left / self._diagonal
        along = scaled.clone()
        size = (left * scaled).sum()
        target = share * share * float(size)
        for _ in range(most):
            with alike.like("curvature"):
                product = self(along)
            with counted_as(products=4 * slope.numel(), elementwise=_PASSES * slope.numel()):
                step = size / (along * product).sum()
                found.addcmul_(along, step)
                left.addcmul_(product, step, value=-1)
                scaled = left / self._diagonal
                before, size = size, (left * scaled).sum()
            # A number that is none ends it as well.
            if not float(size) > target:
                break
            along.mul_(size / before).add_(scaled)
        return found
