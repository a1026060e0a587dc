"""The image tower of an encoder as weights that can be copied, trained, measured in bytes and saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.utils.errors import BenchError

_CHUNK = 256
"""Images a forward pass: activations of more would not fit beside the weights."""


@dataclass(frozen=True, eq=False)
class Tower:
    """An image tower.

    Attributes
    ----------
    encoder : str
        Which architecture it is, as :func:`bench.encoders.load_encoder` takes it.
    shape : tuple of int
        Channels, height and width of an image.
    weights : dict of str to Tensor
        What is trained.
    buffers : dict of str to Tensor
        What is not: the running statistics of batch normalisation stay those of the encoder, so that an answer does
        not depend on the other images of its batch.
    """

    stored_as: ClassVar = "weights"

    encoder: str
    shape: tuple[int, int, int]
    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @staticmethod
    def of(encoder: str, device: torch.device | str = "cpu") -> Tower:
        """Return a copy of an encoder's own image tower, float32, on a device.

        Raises
        ------
        BenchError
            If the encoder is none of open_clip's architectures.
        """
        model = _skeleton(encoder)
        return Tower(
            encoder,
            image_shape(encoder),
            {name: w.detach().to(device, copy=True) for name, w in model.named_parameters()},
            {name: b.detach().to(device, copy=True) for name, b in model.named_buffers()},
        )

    @property
    def dimension(self) -> int:
        """The number of dimensions d of its features."""
        device = next(iter(self.weights.values())).device
        with torch.no_grad():
            return int(self(torch.zeros(1, self.shape[0] * self.shape[1] * self.shape[2], device=device)).shape[1])

    def map(self, change: Callable[[Tensor], Tensor]) -> Tower:
        """Return a tower with ``change`` applied to every weight."""
        return replace(self, weights={name: change(w) for name, w in self.weights.items()})

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features [n, d], not normalised, of flattened images [n, channels x height x width]."""
        model = _skeleton(self.encoder)
        values = {**self.weights, **self.buffers}
        parts = []
        for images in pixels.split(_CHUNK):
            x = images.view(-1, *self.shape).contiguous(memory_format=torch.channels_last)
            parts.append(functional_call(model, values, (x,)))
        return torch.cat(parts)


def image_shape(encoder: str) -> tuple[int, int, int]:
    """Return channels, height and width of what an encoder's transform makes of an image."""
    from PIL import Image

    channels, height, width = loaded(encoder).transform(Image.new("RGB", (8, 8))).shape
    return int(channels), int(height), int(width)


@lru_cache(maxsize=2)
def loaded(encoder: str) -> Any:
    """Return the encoder of a specification on the CPU, loaded once; its weights are never changed."""
    from bench.encoders import load_encoder

    return load_encoder(encoder)


def _skeleton(encoder: str) -> nn.Module:
    """Return the module whose arithmetic a tower follows; its own weights take no part."""
    visual = getattr(loaded(encoder).model, "visual", None)
    if not isinstance(visual, nn.Module):
        raise BenchError(
            f"depth=full trains image towers of open_clip, and {encoder} is none; use depth=adapter, or encode the "
            "images with an open_clip model"
        )
    return visual
