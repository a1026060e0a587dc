"""The scores of a method as a product with a matrix, where they are one; found by asking the method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.classifier.model import Model
from bench.utils.random import Stream

TOLERANCE = 1e-5
"""Largest difference between the product and the method, relative to the largest score by size."""
_TRIED = 64
"""Random directions on which the product is compared with the method."""


@dataclass(frozen=True, eq=False)
class LinearForm:
    """Scores x W + b of a feature x of unit norm.

    Attributes
    ----------
    weights : float32 Tensor [d, c]
    biases : float32 Tensor [c]
        Minus infinity for a class that is never the answer.
    """

    weights: Tensor
    biases: Tensor


def linear_form(model: Model) -> LinearForm | None:
    """Return W and b with scores(x) = (x / |x|) W + b; None if the scores are no such product.

    An affine function is known from its values at the unit vectors and their opposites: f(e) - f(-e) = 2 W e and
    f(e) + f(-e) = 2 b. That it is one is then seen on random directions.
    """
    eye = torch.eye(model.dimension)
    ahead, behind = model.scores(eye).double(), model.scores(-eye).double()
    never = torch.isneginf(ahead) & torch.isneginf(behind)
    closed = never.all(dim=0)
    if bool((never.any(dim=0) & ~closed).any()) or not bool(torch.isfinite(ahead[:, ~closed]).all()):
        return None
    ahead, behind = ahead.masked_fill(never, 0.0), behind.masked_fill(never, 0.0)
    weights, biases = (ahead - behind) / 2, (ahead + behind).mean(0) / 2
    tried = torch.randn(_TRIED, model.dimension, generator=Stream(0).child("directions").torch())
    true = model.scores(tried).double()[:, ~closed]
    product = (torch.nn.functional.normalize(tried.double(), dim=1) @ weights + biases)[:, ~closed]
    scale = float(true.abs().max()) if true.numel() else 0.0
    # Scores that are the same whatever is asked are no product worth the name, and neither are infinite ones.
    if not scale or not bool(torch.isfinite(true).all()) or float((product - true).abs().max()) > TOLERANCE * scale:
        return None
    biases[closed] = -torch.inf
    return LinearForm(weights.float(), biases.float())
