"""A network under training whose weights are parts of one vector, with the gradient of its loss written out.

A step of a small network is short, and what it costs for each operation and for each tensor of weights counts: nodes of
autograd, gradients that are kept, parts of the optimiser's loop. Here products write the gradients of the weights where
the optimiser reads them, and the optimiser has one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.learning.incremental_net import Net
from bench.learning.session_loss import loss_and_gradient
from bench.learning.training import as_parameter


class FlatNet:
    """A copy of a network without a tower that an optimiser may change.

    Parameters
    ----------
    net : Net
        What it begins as.
    """

    def __init__(self, net: Net) -> None:
        self._vector = as_parameter(torch.cat([w.reshape(-1) for w in _all(net)]))
        self._gradient = torch.empty_like(self._vector, requires_grad=False)
        self._weights, self._gradients = (_parts(v, net) for v in (self._vector.detach(), self._gradient))

    def tensors(self) -> list[Tensor]:
        """Return what an optimiser changes: all weights one after the other, [n]."""
        return [self._vector]

    def tower_tensors(self) -> list[Tensor]:
        """Return that there are no weights of a tower."""
        return []

    def detached(self) -> Net:
        """Return the weights as plain values that share no memory."""
        return self._weights.map(torch.Tensor.clone)

    @torch.no_grad()
    def session_loss(
        self,
        fixed: Tensor,
        columns: Tensor,
        soft: Tensor | None = None,
        *,
        temperature: float = 1.0,
        share: float = 1.0,
        first: int = 0,
    ) -> Tensor:
        """Return what :meth:`Net.session_loss` does, and leave its gradient with the weights: none goes on from it."""
        net, out, active, y = self._weights, self._gradients, None, fixed
        if len(net.inner):
            active = torch.addmm(net.inner_bias, fixed, net.inner.T).relu_()
            y = torch.addmm(fixed, active, net.outer.T)
        logits = torch.addmm(net.head_bias, y, net.head.T)
        value, back = loss_and_gradient(logits, columns, soft, temperature=temperature, share=share, first=first)
        torch.mm(back.T, y, out=out.head)
        torch.sum(back, 0, out=out.head_bias)
        if active is not None:
            back = back @ net.head
            torch.mm(back.T, active, out=out.outer)
            back = torch.ops.aten.threshold_backward(back @ net.outer, active, 0)
            torch.mm(back.T, fixed, out=out.inner)
            torch.sum(back, 0, out=out.inner_bias)
        self._vector.grad = self._gradient
        return value


def _all(net: Net) -> tuple[Tensor, ...]:
    return net.inner, net.inner_bias, net.outer, net.head, net.head_bias


def _parts(vector: Tensor, like: Net) -> Net:
    """Return the network of the shapes of another whose weights are views of a vector."""
    parts: Iterator[Tensor] = iter(vector.split([w.numel() for w in _all(like)]))
    return like.map(lambda w: next(parts).view(w.shape))
