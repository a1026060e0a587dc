"""Weights in half precision, normalisations in float32: as open_clip casts, for models of other libraries."""

from __future__ import annotations

import torch
from torch import nn

_NORMALISATIONS = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm)


def lower_precision(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast all weights but those of the normalisations, which compute in float32 and hand on ``dtype``."""
    for part in module.modules():
        if isinstance(part, _NORMALISATIONS):
            part.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
            part.register_forward_hook(lambda _, inputs, output: output.to(dtype))
        else:
            for weight in part.parameters(recurse=False):
                weight.data = weight.data.to(dtype)
