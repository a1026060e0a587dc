"""The network that class-incremental methods train: a linear head, and an adapter or the image tower before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.encoders.image_tower import Tower
from bench.functional.classwise import normalise
from bench.functional.stored_rows import MadeRows, ManyRows, are_many, made_rows
from bench.learning.session_loss import session_loss
from bench.learning.training import as_parameter
from bench.utils.random import Stream

Depth = Literal["head", "adapter", "full"]
"""What is trained: a linear head on the frozen features, a residual MLP before it as well, or a head and the encoder's
image tower itself, from pixels."""

FEATURE_NORM = 10.0
"""Norm given to features before the head, about that of CLIP's own un-normalised features; on unit-norm features a
linear head with small initial weights would hardly move."""


@dataclass(frozen=True, eq=False)
class Net:
    """Weights: an adapter x + W2 relu(W1 x + b1) (for depth ``adapter`` alone) and a head of c rows.

    Attributes
    ----------
    inner, inner_bias, outer : Tensor [h, d], [h], [d, h]; h = 0 without an adapter
    head, head_bias : Tensor [c, d], [c]
    tower : Tower or None
        For depth ``full``; x are flattened pixels then.
    """

    stored_as: ClassVar = "weights"

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    head: Tensor
    head_bias: Tensor
    tower: Tower | None = None

    @staticmethod
    def initial(
        d: int, n_classes: int, *, hidden: int, device: torch.device, rng: Stream, tower: Tower | None = None
    ) -> Net:
        """Return an untrained network; the adapter starts as the identity, because its last matrix is zero.

        Parameters
        ----------
        hidden : int
            Width h of the adapter; 0 for none.
        tower : Tower, optional
            The encoder's own, on the device, whose features have d dimensions.
        """
        h = hidden
        bound = 1 / math.sqrt(d)
        inner = torch.empty(h, d).uniform_(-bound, bound, generator=rng.child("inner").torch())
        empty = Net(inner, torch.zeros(h), torch.zeros(d, h), torch.zeros(0, d), torch.zeros(0))
        return replace(empty.map(lambda w: w.to(device)), tower=tower).grow(n_classes, rng)

    def grow(self, n_classes: int, rng: Stream) -> Net:
        """Return the network with a head of ``n_classes`` rows, the old ones first and unchanged."""
        d, old = self.head.shape[1], len(self.head)
        bound = 1 / math.sqrt(d)
        new = torch.empty(n_classes - old, d).uniform_(-bound, bound, generator=rng.child("head", old).torch())
        return replace(
            self,
            head=torch.cat([self.head, new.to(self.head.device)]),
            head_bias=torch.cat([self.head_bias, self.head_bias.new_zeros(n_classes - old)]),
        )

    def tensors(self) -> list[Tensor]:
        """Return all weights that there are but those of the tower."""
        return [w for w in (self.inner, self.inner_bias, self.outer, self.head, self.head_bias) if w.numel()]

    def tower_tensors(self) -> list[Tensor]:
        """Return the weights of the tower, if there is one."""
        return list(self.tower.weights.values()) if self.tower else []

    def map(self, change: Callable[[Tensor], Tensor]) -> Net:
        """Return a network with ``change`` applied to every weight."""
        return Net(
            inner=change(self.inner),
            inner_bias=change(self.inner_bias),
            outer=change(self.outer),
            head=change(self.head),
            head_bias=change(self.head_bias),
            tower=self.tower.map(change) if self.tower else None,
        )

    def trainable(self) -> Net:
        """Return a copy whose weights an optimiser may change."""
        return self.map(as_parameter)

    def detached(self) -> Net:
        """Return the weights as plain values."""
        return self.map(torch.Tensor.detach)

    def embed(self, x: Tensor) -> Tensor:
        """Return adapted features of norm about 10, [n, d], of features or of flattened pixels."""
        return self.adapt(self.fixed(x))

    def fixed(self, x: Tensor) -> Tensor:
        """Return what no step of a training changes, to be made once: features of norm 10, or pixels as they are."""
        return x if self.tower else normalise(x) * FEATURE_NORM

    def fixed_rows(self, x: Tensor) -> ManyRows:
        """Return the same of all rows of a training; of many features when they are asked for."""
        return self.fixed(x) if self.tower else made_rows(x, self.fixed)

    def made_of(self, x: Tensor, make: Callable[[Tensor], Tensor], width: int) -> ManyRows:
        """Return what these weights, which no step changes, make of rows: ``width`` numbers each, held if not too many.

        Where they are more than 2^25 they are made for each batch, in each epoch anew.
        """
        return MadeRows(x, make) if not self.tower and are_many(len(x) * width) else make(x)

    def adapt(self, fixed: Tensor) -> Tensor:
        """Return adapted features [n, d] of what :meth:`fixed` made."""
        x = normalise(self.tower(fixed)) * FEATURE_NORM if self.tower else fixed
        if not len(self.inner):
            return x
        return torch.addmm(x, F.linear(x, self.inner, self.inner_bias).relu_(), self.outer.T)

    def logits(self, x: Tensor) -> Tensor:
        """Return logits [n, c] of features or of flattened pixels."""
        return self.logits_of_fixed(self.fixed(x))

    def logits_of_fixed(self, fixed: Tensor) -> Tensor:
        """Return logits [n, c] of what :meth:`fixed` made."""
        return F.linear(self.adapt(fixed), self.head, self.head_bias)

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
        """Return :func:`bench.learning.session_loss.session_loss` of what :meth:`fixed` made of a batch."""
        logits = self.logits_of_fixed(fixed)
        return session_loss(logits, columns, soft, temperature=temperature, share=share, first=first)
