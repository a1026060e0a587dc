"""The loss of a session's training: cross-entropy, and distillation of what earlier classes were given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST = -87.0
"""Its exponential is 1.6e-38, and float32 holds 1.2e-38 and more with all digits."""


def session_loss(
    logits: Tensor,
    columns: Tensor,
    soft: Tensor | None = None,
    *,
    temperature: float = 1.0,
    share: float = 1.0,
    first: int = 0,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy plus ``share`` times that of softened logits against softened old ones.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531; used by iCaRL, LwF and FOSTER
    on the logits of the old classes. The gradient is taken with the value, from the softmax of both.

    Parameters
    ----------
    logits : Tensor [b, c]
    columns : int64 Tensor [b]
        The right column of each row, counted from ``first``.
    soft : Tensor [b, k], optional
        Softmax of the old logits of the first k columns at the temperature; without it nothing is distilled.
    first : int
        The column where the cross-entropy begins.
    weights : Tensor [c], optional
        What logits are divided by for the cross-entropy.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    value: Tensor = _SessionLoss.apply(wide, columns, soft, temperature, share, first, weights)
    return value


class _SessionLoss(torch.autograd.Function):
    """The value, and the gradient of the logits beside it."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        columns: Tensor,
        soft: Tensor | None,
        temperature: float,
        share: float,
        first: int,
        weights: Tensor | None,
    ) -> Tensor:
        """Return the loss; see :func:`session_loss`."""
        value, gradient = loss_and_gradient(
            logits, columns, soft, temperature=temperature, share=share, first=first, weights=weights
        )
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits."""
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None, None, None, None, None


def loss_and_gradient(
    logits: Tensor,
    columns: Tensor,
    soft: Tensor | None,
    *,
    temperature: float,
    share: float,
    first: int,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the loss of :func:`session_loss` and its gradient, that of the logits, [b, c]; nothing is recorded."""
    b = len(logits)
    own = (logits if weights is None else logits / weights)[:, first:]
    logs, right = own.log_softmax(1), columns.unsqueeze(1)
    value = logs.gather(1, right).sum().neg_().div_(b)
    gradient = _powers(logs).div_(b).scatter_add_(1, right, logs.new_full((b, 1), -1 / b))
    if weights is not None:
        gradient.div_(weights[first:])
    if first:
        gradient = torch.cat([gradient.new_zeros(b, first), gradient], 1)
    if soft is not None:
        k = soft.shape[1]
        logs = (logits[:, :k] / temperature).log_softmax(1)
        value = torch.addcmul(value, torch.dot(soft.reshape(-1), logs.reshape(-1)), value.new_full((), -share / b))
        gradient[:, :k].add_(_powers(logs).sub_(soft), alpha=share / (temperature * b))
    return value, gradient


def _powers(logs: Tensor) -> Tensor:
    """Return the exponentials of logarithms, in their place; below 1e-38 all are that.

    A processor takes ten times as long for the numbers below, which float32 holds with fewer digits.
    """
    return logs.clamp_(min=_LEAST).exp_()


def softened(logits: Tensor, temperature: float) -> Tensor:
    """Return the softmax of logits [n, k] at a temperature: what later logits are held to."""
    return (logits / temperature).softmax(1)
