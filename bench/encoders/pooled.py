"""An image model whose pooled output is the feature, with no text tower."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.encoders.projection import Tower
from bench.utils.errors import BenchError


class Pooled(nn.Module):
    """An image model behind open_clip's ``encode_image``; it has no projection and no texts.

    Parameters
    ----------
    visual : Module
        Images [n, 3, h, w] to pooled features [n, d].
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def before_projection(self, tower: Tower, x: Tensor) -> Tensor:
        """Return the pooled features, [n, d]: nothing is projected."""
        if tower == "text":
            raise BenchError("this encoder has no text tower; use one with both towers")
        features: Tensor = self.visual(x)
        return features

    def encode_image(self, x: Tensor, *, normalize: bool = False) -> Tensor:
        """Return image features, [n, d]."""
        features = self.before_projection("image", x)
        return nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, x: Any, *, normalize: bool = False) -> Tensor:
        """Raise :class:`BenchError`."""
        return self.before_projection("text", x)
