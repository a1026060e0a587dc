"""Adam on float16 weights with float16 moments, rounded to float16 line by line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

HALF_MAX = 65504.0
"""The largest number of float16."""


class HalfAdam(torch.optim.Optimizer):
    """What ``torch.optim.Adam`` does with float16 tensors on CUDA, the same on every device.

    The squares of gradients below 5.5e-3 underflow in the second moment, so that the step is lr / eps times the first
    moment: with both at 1e-6, momentum SGD with rate 1. A second moment that did not underflow never decays, because
    0.999 times a few units in the last place rounds back to them. It is what the code of the founding paper trains by
    (Kang et al., TMLR 2025; github.com/dahyun-kang/mml, commit f607f84, model/mmltrainer.py, ``modeldtype``).

    Sums and products are float32 numbers of float16 numbers, rounded to float16 where torch's kernels store a result.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        *,
        lr: float,
        eps: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(weights, {"lr": lr, "eps": eps, "weight_decay": weight_decay, "betas": betas})

    @property
    def overflowed(self) -> bool:
        """Whether a moment left the range of float16 in some step.

        A second moment at infinity divides every later step to zero, so that a weight stands still and stays finite.
        Neither moment ever comes back from there.
        """
        moments = [state[name] for state in self.state.values() for name in ("m", "v")]
        return not all_finite(moments)

    @property
    def idle(self) -> bool:
        """Whether steps were taken, and no weight had a gradient other than zero in any of them."""
        felt = [state["felt"] for state in self.state.values()]
        return bool(felt) and not bool(torch.stack(felt).any())

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, self.state[weight], group)

    def _change(self, weight: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        if not state:
            state.update(step=0, m=torch.zeros_like(weight), v=torch.zeros_like(weight), felt=weight.new_zeros(()))
        state["step"] += 1
        state["felt"] += weight.grad.any()  # type: ignore[union-attr]
        before = weight.float()
        g = _half(weight.grad.float() + group["weight_decay"] * before)  # type: ignore[union-attr]
        m = state["m"].float()
        m = _half(m + (1 - first) * (g - m))
        v = _half(second * state["v"].float())
        v = _half(v + (1 - second) * g * g)
        state["m"].copy_(m)
        state["v"].copy_(v)
        rate = group["lr"] / (1 - first ** state["step"])
        spread = _half(_half(v.sqrt()) / math.sqrt(1 - second ** state["step"]))
        weight.copy_(before - rate * (m / _half(spread + group["eps"])))


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no number is infinite or NaN; waits for the device once."""
    return bool(torch.stack([torch.isfinite(one).all() for one in tensors] or [torch.ones(()).bool()]).all())


def _half(x: Tensor) -> Tensor:
    """Return float32 numbers rounded to those that float16 has."""
    return x.half().float()
