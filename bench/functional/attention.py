"""Attentive integration of retrieved items: one residual attention block with a single head.

The block is CLIP's residual attention block with the query feature as query and the retrieved features as keys and
values (Kang et al., Memory-Modular Classification, TMLR 2025, eq. 3, and the arrangement of its official code, in which
query, key and value have layer normalisations of their own):

    a = softmax(Q(LN f) . K(LN' v_j) / sqrt(d));  g = f + O(sum_j a_j V(LN" v_j));  h = g + MLP(LN* g);  out = f + h
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.utils.random import Stream

EPS = 1e-5
"""What layer normalisation adds to a variance."""
QUICK = 1.702
"""How much QuickGELU, the activation of OpenAI's CLIP, stretches its sigmoid: x sigmoid(1.702 x)."""

Start = Literal["random", "zero", "kernel-mean"]
"""What untrained weights are: drawn as torch's layers are; the same with the output matrices of attention and MLP at
zero, so that the block returns the feature itself; or Q, K, V and the output at the identity and the MLP at zero, so
that it adds the kernel mean of the neighbours."""


@dataclass(frozen=True, eq=False)
class Block:
    """The weights of one block; 12 d^2 + 17 d numbers."""

    stored_as: ClassVar = "weights"

    norm_query_weight: Tensor
    norm_query_bias: Tensor
    norm_key_weight: Tensor
    norm_key_bias: Tensor
    norm_value_weight: Tensor
    norm_value_bias: Tensor
    query_weight: Tensor
    query_bias: Tensor
    key_weight: Tensor
    key_bias: Tensor
    value_weight: Tensor
    value_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    norm_mlp_weight: Tensor
    norm_mlp_bias: Tensor
    fc_weight: Tensor
    fc_bias: Tensor
    proj_weight: Tensor
    proj_bias: Tensor

    def tensors(self) -> list[Tensor]:
        """Return all weights."""
        return [getattr(self, f.name) for f in fields(self)]

    def map(self, change: object) -> Block:
        """Return a block with ``change`` applied to every weight."""
        assert callable(change)
        return Block(**{f.name: change(getattr(self, f.name)) for f in fields(self)})

    def at(self, start: Start) -> Block:
        """Return freshly drawn weights changed into those of a start."""
        if start == "random":
            return self
        silent = {name: torch.zeros_like(getattr(self, name)) for name in ("proj_weight", "proj_bias")}
        if start == "zero":
            return replace(self, out_weight=torch.zeros_like(self.out_weight), **silent)
        one = torch.eye(len(self.out_bias), dtype=self.out_weight.dtype, device=self.out_weight.device)
        names = ("query_weight", "key_weight", "value_weight", "out_weight")
        return replace(self, **{name: one.clone() for name in names}, **silent)

    @staticmethod
    def initial(d: int, rng: Stream) -> Block:
        """Return untrained weights as torch's own layers draw them, from a stream of their own.

        Q, K and V are Xavier-uniform as one [3d, d] matrix, as in ``nn.MultiheadAttention``; the other matrices are
        uniform in +-1/sqrt(fan_in), as in ``nn.Linear``; attention biases are zero.
        """
        g = rng.torch()

        def uniform(rows: int, cols: int | None, bound: float) -> Tensor:
            shape = (rows,) if cols is None else (rows, cols)
            return torch.empty(shape).uniform_(-bound, bound, generator=g)

        xavier, linear = math.sqrt(6 / (4 * d)), 1 / math.sqrt(d)
        one, zero = torch.ones(d), torch.zeros(d)
        return Block(
            norm_query_weight=one.clone(),
            norm_query_bias=zero.clone(),
            norm_key_weight=one.clone(),
            norm_key_bias=zero.clone(),
            norm_value_weight=one.clone(),
            norm_value_bias=zero.clone(),
            query_weight=uniform(d, d, xavier),
            query_bias=zero.clone(),
            key_weight=uniform(d, d, xavier),
            key_bias=zero.clone(),
            value_weight=uniform(d, d, xavier),
            value_bias=zero.clone(),
            out_weight=uniform(d, d, linear),
            out_bias=zero.clone(),
            norm_mlp_weight=one.clone(),
            norm_mlp_bias=zero.clone(),
            fc_weight=uniform(4 * d, d, linear),
            fc_bias=uniform(4 * d, None, linear),
            proj_weight=uniform(d, 4 * d, linear / 2),
            proj_bias=uniform(d, None, linear / 2),
        )


def standardise(x: Tensor) -> Tensor:
    """Return layer-normalised vectors before gain and bias; what of LN does not depend on weights."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


def integrate(block: Block, f: Tensor, items: Tensor) -> Tensor:
    """Return the features with what their neighbours know, [q, d].

    With one head, K and V can be applied once a query instead of once a neighbour: q . (K v + b) is
    (K' q) . v plus a constant that softmax cancels, and sum a_j (V v_j + b) is V (sum a_j v_j) + b. The gain and
    bias of LN fold in the same way. That is about 12 d^2 multiply-adds a query instead of (10 + 2k) d^2.

    Parameters
    ----------
    f : Tensor [q, d]
        Query features.
    items : Tensor [q, k, d]
        Each query's neighbours, standardised (:func:`standardise`).
    """
    return f + transform(block, f, attend(block, f, items), items)


def attend(block: Block, f: Tensor, items: Tensor) -> Tensor:
    """Return attention weights over each query's neighbours, [q, k]; arguments as in :func:`integrate`."""
    d = f.shape[-1]
    q = F.linear(
        F.layer_norm(f, (d,), block.norm_query_weight, block.norm_query_bias, EPS),
        block.query_weight,
        block.query_bias,
    )
    keyed = (q @ block.key_weight) * block.norm_key_weight
    return torch.softmax(torch.einsum("qd,qkd->qk", keyed, items) / math.sqrt(d), dim=-1)


def transform(block: Block, f: Tensor, weights: Tensor, items: Tensor) -> Tensor:
    """Return the block's output h for given attention weights [q, k]."""
    mean = torch.einsum("qk,qkd->qd", weights, items) * block.norm_value_weight + block.norm_value_bias
    return _after_attention(block, f, F.linear(mean, block.value_weight, block.value_bias))


def integrate_each(block: Block, f: Tensor, items: Tensor) -> Tensor:
    """Return what :func:`integrate` returns, with K and V applied to every neighbour, as the paper's code does.

    That takes (10 + 2k) d^2 + 2 k d multiply-adds a query. It is here to be compared with, in cost and in value.
    """
    d = f.shape[-1]
    query = F.linear(
        F.layer_norm(f, (d,), block.norm_query_weight, block.norm_query_bias, EPS),
        block.query_weight,
        block.query_bias,
    )
    keys = F.linear(items * block.norm_key_weight + block.norm_key_bias, block.key_weight, block.key_bias)
    values = F.linear(items * block.norm_value_weight + block.norm_value_bias, block.value_weight, block.value_bias)
    weights = torch.softmax(torch.einsum("qd,qkd->qk", query, keys) / math.sqrt(d), dim=-1)
    return f + _after_attention(block, f, torch.einsum("qk,qkd->qd", weights, values))


def _after_attention(block: Block, f: Tensor, value: Tensor) -> Tensor:
    """Return the block's output h for the attended value of each query, [q, d]."""
    d = f.shape[-1]
    g = f + F.linear(value, block.out_weight, block.out_bias)
    inner = F.linear(
        F.layer_norm(g, (d,), block.norm_mlp_weight, block.norm_mlp_bias, EPS), block.fc_weight, block.fc_bias
    )
    return g + F.linear(inner * torch.sigmoid(QUICK * inner), block.proj_weight, block.proj_bias)
