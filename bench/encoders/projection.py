"""Features before the projection into the joint image-text space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.utils.errors import BenchError

Tower = Literal["image", "text"]


class _Encode(nn.Module):
    """One tower of a model as a module, so that ``functional_call`` can exchange its parameters."""

    def __init__(self, model: nn.Module, tower: Tower) -> None:
        super().__init__()
        self.model, self.tower = model, tower

    def forward(self, x: Tensor) -> Tensor:
        model: Any = self.model
        encode = model.encode_image if self.tower == "image" else model.encode_text
        features: Tensor = encode(x, normalize=False)
        return features


_PLACES: dict[Tower, tuple[str, ...]] = {
    "image": ("visual.proj", "visual.attnpool.c_proj.weight", "visual.head.proj.weight"),
    "text": ("text_projection", "text.text_projection", "text_projection.weight", "text.text_projection.weight"),
}
"""Where open_clip's vision transformers, ResNets, timm models and text transformers keep their projection."""


def before_projection(model: nn.Module, tower: Tower, x: Tensor) -> Tensor:
    """Return what a tower hands to its projection, [n, w].

    A model with a method ``before_projection`` is asked. Otherwise the projection is replaced by the identity for this
    call, which adds only zeros; the model stays as it is.

    Raises
    ------
    BenchError
        If the tower has no linear projection at the places open_clip uses.
    """
    own: Callable[[Tower, Tensor], Tensor] | None = getattr(model, "before_projection", None)
    if own is not None:
        return own(tower, x)
    parameters = dict(model.named_parameters())
    for place in _PLACES[tower]:
        weight = parameters.get(place)
        if weight is None or weight.ndim != 2:
            continue
        # A Linear stores [out, in], a bare matrix [in, out].
        width = weight.shape[1] if place.endswith(".weight") else weight.shape[0]
        exchanged = {f"model.{place}": torch.eye(width, dtype=weight.dtype, device=weight.device)}
        bias = place.removesuffix("weight") + "bias"
        if place.endswith(".weight") and bias in parameters:
            exchanged[f"model.{bias}"] = torch.zeros(width, dtype=weight.dtype, device=weight.device)
        features: Tensor = functional_call(_Encode(model, tower), exchanged, (x,))
        return features
    raise BenchError(f"the {tower} tower of this model has no projection that is known; take the features after it")
