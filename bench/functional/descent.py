"""Steps down a convex function of a softmax regression's weights, and numbers read off a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.cost.meter import counted_as


class Descent:
    """Steps down a function until it is near enough to its minimum.

    Parameters
    ----------
    share : float
        Of |W|^2 / 2: how far above the minimum is near enough.
    dtype : torch.dtype
        In which the function's parameters are.
    """

    def __init__(self, share: float, dtype: torch.dtype) -> None:
        self._share, self._rounding, self._stalled = share, torch.finfo(dtype).eps, 0
        # Losses are summed in float64 in either precision; what is below that rounding is no difference.
        self._floor = 1e-13 if dtype == torch.float32 else 1e-15

    def step(
        self,
        theta: Tensor,
        direction: Tensor,
        value: float,
        slope: Tensor,
        evaluate: Callable[[Tensor], tuple[float, Tensor, Tensor]],
    ) -> tuple[Tensor, tuple[float, Tensor, Tensor]] | None:
        """Return where a step against ``direction`` leads and what the function is there; None at the end."""
        decrement, square = numbers(dot(slope, direction), squared(theta[:-1]))
        if not decrement > 0 or decrement / 2 <= max(self._share * square / 2, self._floor * value):
            return None
        length = 1.0
        for _ in range(20):
            after = theta - length * direction
            found = new_value, new_slope, _ = evaluate(after)
            # The decrease that is asked for; where it is below rounding, the slope along the step must tell.
            enough = new_value <= value - 1e-4 * length * decrement
            if enough or (
                new_value <= value * (1 + 8 * self._rounding)
                and abs(float(dot(new_slope, direction))) <= 0.9 * decrement
            ):
                break
            least = decrement * length**2 / (2 * max(new_value - value + decrement * length, 1e-300))
            length = min(max(least, 0.1 * length), 0.5 * length)
        else:
            return None
        # Five steps that only rounding tells apart: there is no more to gain in this precision.
        self._stalled = self._stalled + 1 if new_value > value * (1 - self._rounding) else 0
        return None if self._stalled == 5 else (after, found)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of the products of two tensors of one shape."""
    with counted_as(products=2 * a.numel()):
        return torch.dot(a.flatten(), b.flatten())


def squared(a: Tensor) -> Tensor:
    """Return the sum of the squares of a tensor, in float64."""
    with counted_as(elementwise=2 * a.numel()):
        return a.square().sum(dtype=torch.float64)


def numbers(*values: Tensor) -> list[float]:
    """Return scalars as numbers, waiting for the device once."""
    if not waited_for(values[0]):
        return [float(value) for value in values]
    found: list[float] = torch.stack([value.double() for value in values]).tolist()
    return found


def waited_for(a: Tensor) -> bool:
    """Return whether to take a number out of a tensor is to wait until its device has done all it has to do."""
    return a.device.type != "cpu"
