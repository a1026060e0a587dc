"""A linear map from one encoder's space to another's, learnt on items that both encoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.functional.classwise import normalise

PENALTIES = tuple(10.0**power for power in range(-6, 3))
"""Ridge strengths that are tried, as shares of the mean squared singular value of the centred rows."""
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class LinearMap:
    """x -> (x - from_mean) weight + to_mean, brought to unit norm.

    Attributes
    ----------
    weight : Tensor [a, b]
    from_mean, to_mean : Tensor [a], [b]
        Means of the items it was learnt on.
    penalty : float
        The ridge strength that was chosen.
    unexplained : float
        Squared error of items left out, as a share of their variance: 0 maps them exactly, 1 is no better than the
        mean of the others.
    """

    weight: Tensor
    from_mean: Tensor
    to_mean: Tensor
    penalty: float
    unexplained: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return rows [n, a] in the other space, float32 [n, b] of unit norm."""
        return normalise((x.float() - self.from_mean) @ self.weight + self.to_mean)

    @property
    def nbytes(self) -> int:
        """What it takes to store."""
        return sum(part.nbytes for part in (self.weight, self.from_mean, self.to_mean))


def fit_map(x: Tensor, y: Tensor) -> LinearMap:
    """Return the ridge regression of y on x with an intercept, its strength chosen by leaving each pair out.

    With U S V' = X - mean(X) and f = s^2 / (s^2 + a), fitted values are mean(Y) + U f U'(Y - mean(Y)) and the leverage
    of a pair is h = 1/n + sum of u^2 f; without itself it is missed by its residual over 1 - h (Allen's PRESS, 1974).
    So one decomposition gives the error of every strength a, and nothing but the pairs is looked at.

    Parameters
    ----------
    x : Tensor [n, a]
    y : Tensor [n, b]
        Two pairs or more.
    """
    wide, target = x.double(), y.double()
    from_mean, to_mean = wide.mean(0), target.mean(0)
    u, s, vt = torch.linalg.svd(wide - from_mean, full_matrices=False)
    target = target - to_mean
    inner, squares = u.T @ target, s.square()
    scale = float(squares.mean())
    n = len(wide)
    # Without itself each pair is n / (n - 1) times as far from the mean of the others.
    variance = float(target.square().sum()) * (n / (n - 1)) ** 2
    errors = []
    for share in PENALTIES:
        shrunk = squares / (squares + share * scale + _TINY)
        residual = target - u @ (shrunk.unsqueeze(1) * inner)
        left = 1 - 1 / n - u.square() @ shrunk
        errors.append(float((residual.square().sum(1) / left.clamp(min=_TINY).square()).sum()))
    # Of equally good ones the strongest, which is the smoothest.
    best = min(range(len(errors)), key=lambda place: (errors[place], -place))
    penalty = PENALTIES[best] * scale
    weight = vt.T @ ((s / (squares + penalty + _TINY)).unsqueeze(1) * inner)
    return LinearMap(weight.float(), from_mean.float(), to_mean.float(), penalty, errors[best] / max(variance, _TINY))
