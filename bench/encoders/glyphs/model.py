"""The bundled encoder: a small open_clip model that reads images and names of characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from bench.encoders.glyphs.pixels import pixels
from bench.encoders.glyphs.prompts import PROMPTS
from bench.encoders.glyphs.stored import WEIGHTS_FILE, read_config, read_tokenizer, read_weights
from bench.encoders.glyphs.tokenizer import Tokenizer


def build(config: dict[str, Any], generator: torch.Generator) -> open_clip.CLIP:
    """Build the open_clip model with fresh weights.

    Parameters
    ----------
    config
        Model configuration, see :func:`bench.encoders.glyphs.stored.read_config`.
    generator
        Source of the weights.  The global generator is left as it was.

    Returns
    -------
    open_clip.CLIP
        In training mode, float32, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=CLIPVisionCfg(**config["vision_cfg"]),
            text_cfg=CLIPTextCfg(**config["text_cfg"]),
        )
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if name.endswith("bias"):
                parameter.zero_()
            elif "embedding" in name:
                parameter.normal_(std=0.02, generator=generator)
            elif parameter.ndim >= 2:
                gain = 2.0 if parameter.ndim == 4 else 1.0
                inputs = parameter[0].numel()
                parameter.normal_(std=(gain / inputs) ** 0.5, generator=generator)
    return model


@dataclass(frozen=True)
class Encoder:
    """Image and text tower with what they need around them.

    Attributes
    ----------
    model
        The open_clip model.
    tokenizer
        Its tokenizer.
    side
        Side of its input images, in pixels.
    """

    model: open_clip.CLIP
    tokenizer: Tokenizer
    side: int

    @torch.no_grad()
    def images(self, images: npt.NDArray[np.uint8], *, batch: int = 256) -> torch.Tensor:
        """Encode grey images.

        Parameters
        ----------
        images
            uint8, shape (images, height, width).
        batch
            Images encoded at once.

        Returns
        -------
        Tensor of float32, shape (images, embed_dim)
            Unit rows.
        """
        parts = [
            self.model.encode_image(pixels(images[i : i + batch], self.side), normalize=True)
            for i in range(0, len(images), batch)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def texts(self, texts: Sequence[str], *, batch: int = 256) -> torch.Tensor:
        """Encode texts.

        Parameters
        ----------
        texts
            Any sentences; words that training never met are spelled out.
        batch
            Texts encoded at once.

        Returns
        -------
        Tensor of float32, shape (texts, embed_dim)
            Unit rows.
        """
        parts = [
            self.model.encode_text(self.tokenizer(texts[i : i + batch]), normalize=True)
            for i in range(0, len(texts), batch)
        ]
        return torch.cat(parts)

    def classes(self, names: Sequence[str]) -> torch.Tensor:
        """Encode class names, each as the mean over :data:`~bench.encoders.glyphs.prompts.PROMPTS`.

        Parameters
        ----------
        names
            Names of the classes.

        Returns
        -------
        Tensor of float32, shape (names, embed_dim)
            Unit rows.
        """
        total = torch.stack([self.texts([p.format(n) for n in names]) for p in PROMPTS])
        return functional.normalize(total.mean(0), dim=-1)


def serialise(model: nn.Module) -> bytes:
    """Return the weights as safetensors, parameters in half precision.

    Running statistics stay in single precision: they are few, and small
    variances would lose digits.
    """
    names = {name for name, _ in model.named_parameters()}
    return save(
        {name: (tensor.half() if name in names else tensor).contiguous() for name, tensor in model.state_dict().items()}
    )


def load(weights: Path = WEIGHTS_FILE) -> Encoder:
    """Load the bundled encoder.

    Parameters
    ----------
    weights
        A safetensors file written by :func:`serialise`.

    Returns
    -------
    Encoder
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    RuntimeError
        The file does not fit the configuration.
    """
    config = read_config()
    model = build(config, torch.Generator().manual_seed(0))
    model.load_state_dict(read_weights(weights), strict=True)
    return Encoder(model.eval(), read_tokenizer(), config["vision_cfg"]["image_size"])
