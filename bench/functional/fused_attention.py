"""The attention block over neighbours that are named by their places, with a backward pass written out.

It gives what :func:`bench.functional.attention.integrate` gives. On a processor the neighbours are never copied out of
the items: 256 queries with 32 neighbours of 512 dimensions are 16 MiB a copy, which no cache holds, and a step would
write them once and read them five times, where the items themselves stay in the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from bench.cost.meter import uncounted
from bench.functional.attention import EPS, QUICK, Block, attend, standardise, transform

_SUM = 0
"""The mode of an embedding bag that adds up."""
_USED = (
    *("norm_query_weight", "norm_query_bias", "query_weight", "query_bias", "key_weight", "norm_key_weight"),
    *("norm_value_weight", "norm_value_bias", "value_weight", "value_bias", "out_weight", "out_bias"),
    *("norm_mlp_weight", "norm_mlp_bias", "fc_weight", "fc_bias", "proj_weight", "proj_bias"),
)
"""What the output depends on: all but the biases of keys, which softmax cancels."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Neighbours of queries: distinct items [n, d], standardised, and the place of each neighbour among them, [q, k].

    Items take no gradient.
    """

    items: Tensor
    places: Tensor

    @property
    def each(self) -> Tensor:
        """Each query's neighbours, [q, k, d]."""
        return self.items[self.places]


def transform_near(block: Block, f: Tensor, near: Neighbours) -> Tensor:
    """Return the block's output h of features [q, d] over their neighbours, [q, d].

    On a processor in one operation, whose backward pass folds as well: that of the first product with the features'
    gain and bias is taken from the gradient of its matrix, which saves a product of [q, d] by [d, d].
    """
    device = f.device.type
    copied = device != "cpu" or torch.is_autocast_enabled(device) or near.items.dtype != f.dtype or f.requires_grad
    if copied or not bag_dots_work():
        each = near.each
        return transform(block, f, attend(block, f, each), each)
    h: Tensor = _Transform.apply(f, near.items, near.places, *(getattr(block, name) for name in _USED))
    return h


def dots(x: Tensor, items: Tensor, places: Tensor) -> Tensor:
    """Return the product of each row of x [q, d] with the items at its places [q, k], [q, k]; without gradients."""
    q, k = places.shape
    starts = torch.arange(0, q * k, k)
    rows = torch.arange(q).repeat_interleave(k)
    bag = torch.ops.aten._embedding_bag_per_sample_weights_backward
    found: Tensor = bag(x, items, places.reshape(-1), starts, rows, _SUM)
    return found.view(q, k)


def mixed(weights: Tensor, items: Tensor, places: Tensor) -> Tensor:
    """Return the sum of the items at places [q, k] by weights [q, k], [q, d]; without gradients."""
    return F.embedding_bag(places, items, per_sample_weights=weights, mode="sum")


@cache
def bag_dots_work() -> bool:
    """Return whether torch's own operation for :func:`dots`, which is no public one, gives the products."""
    # A trial is no part of a method's work, whichever cell of a process is the first.
    with uncounted():
        x = torch.arange(6.0).view(2, 3)
        items, places = torch.arange(12.0).view(4, 3) ** 2, torch.tensor([[0, 3], [2, 2]])
        try:
            found = dots(x, items, places)
        except (AttributeError, RuntimeError, TypeError):
            return False
        return torch.equal(found, torch.einsum("qd,qkd->qk", x, items[places]))


class _Transform(torch.autograd.Function):
    """h of features, items, places and the weights of ``_USED``."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, items: Tensor, places: Tensor, *weights: Tensor) -> Tensor:
        """Return h; the names are those of :mod:`bench.functional.attention`."""
        w = dict(zip(_USED, weights, strict=True))
        d = f.shape[1]
        x = standardise(f)
        asked = torch.addcmul(w["norm_query_bias"], x, w["norm_query_weight"])
        query = torch.addmm(w["query_bias"], asked, w["query_weight"].T)
        keyed = query @ w["key_weight"]
        shares = torch.softmax(dots(keyed * (w["norm_key_weight"] / math.sqrt(d)), items, places), dim=1)
        mean = mixed(shares, items, places)
        normed = torch.addcmul(w["norm_value_bias"], mean, w["norm_value_weight"])
        value = torch.addmm(w["value_bias"], normed, w["value_weight"].T)
        g = torch.addmm(w["out_bias"], value, w["out_weight"].T).add_(f)
        inner, centre, scale = torch.native_layer_norm(g, (d,), w["norm_mlp_weight"], w["norm_mlp_bias"], EPS)
        # QuickGELU is SiLU with its argument stretched, and the stretch belongs to the products on both sides.
        wide = torch.addmm(w["fc_bias"] * QUICK, inner, w["fc_weight"].T, alpha=QUICK)
        active = F.silu(wide)
        ctx.save_for_backward(
            x, items, places, query, keyed, shares, mean, normed, value, g, inner, centre, scale, wide, active, *weights
        )
        return (g + w["proj_bias"]).addmm_(active, w["proj_weight"].T, alpha=1 / QUICK)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the weights."""
        (h,) = grads
        x, items, places, query, keyed, shares, mean, normed, value, g, inner, centre, scale, wide, active, *weights = (
            ctx.saved_tensors
        )
        w = dict(zip(_USED, weights, strict=True))
        out: dict[str, Tensor] = {}
        d = h.shape[1]
        out["proj_bias"] = h.sum(0)
        small = h / QUICK
        out["proj_weight"] = small.T @ active
        wide = torch.ops.aten.silu_backward(small @ w["proj_weight"], wide)
        out["fc_bias"] = wide.sum(0).mul_(QUICK)
        out["fc_weight"] = wide.T @ (inner * QUICK)
        inner = (wide @ w["fc_weight"]).mul_(QUICK)
        gain, bias = w["norm_mlp_weight"], w["norm_mlp_bias"]
        g, out["norm_mlp_weight"], out["norm_mlp_bias"] = torch.ops.aten.native_layer_norm_backward(
            inner, g, (d,), centre, scale, gain, bias, (True, True, True)
        )
        g += h
        out["out_bias"], out["out_weight"] = g.sum(0), g.T @ value
        value = g @ w["out_weight"]
        out["value_bias"], out["value_weight"] = value.sum(0), value.T @ normed
        normed = value @ w["value_weight"]
        out["norm_value_bias"], out["norm_value_weight"] = normed.sum(0), (normed * mean).sum(0)
        shifts = dots(normed.mul_(w["norm_value_weight"]), items, places)
        shifts = shares * (shifts - (shares * shifts).sum(1, keepdim=True))
        moved = mixed(shifts, items, places).div_(math.sqrt(d))
        out["norm_key_weight"] = (moved * keyed).sum(0)
        moved.mul_(w["norm_key_weight"])
        out["key_weight"] = query.T @ moved
        query = moved @ w["key_weight"].T
        total = out["query_bias"] = query.sum(0)
        # The features before gain and bias: d(W) = d(W x) gain + d(b) bias, and the gain's own is in d(W x) too.
        met = query.T @ x
        out["norm_query_weight"], out["norm_query_bias"] = (w["query_weight"] * met).sum(0), total @ w["query_weight"]
        out["query_weight"] = met.mul_(w["norm_query_weight"]).addr_(total, w["norm_query_bias"])
        return None, None, None, *(out[name] for name in _USED)
