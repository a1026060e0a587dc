"""The bundled glyph encoder behind the same interface as every other."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bench.device.precision import DTYPES, Precision
from bench.encoders.encoder import Encoder, Known, digest_of_weights
from bench.encoders.glyphs.pixels import pixels
from bench.encoders.glyphs.stored import read_config, read_tokenizer, read_weights
from bench.encoders.registry import encoder
from bench.utils.errors import BenchError
from bench.utils.importing import large_imports

NAME = "glyphs"
ACTIVATIONS = ("GELU",)
"""What :attr:`Encoder.space` tells of its activations."""

NEAR = 0.996
"""Cosine from which two images count as near-duplicates in this encoder's space.

Different draws of one character lie close together here, so that the usual 0.97 would call every third a duplicate. The
threshold is the least in thousandths that at most one in a thousand images of validation classes reaches with an
independent draw (:func:`tools.glyphs.evaluate_encoder.nearest_draws`); copies saved again as JPEG stay above it."""


@encoder("glyphs", description="the bundled one, trained on drawings of Unicode characters")
def load_bundled(
    place: str = "", /, *, precision: Precision = "fp32", device: str | torch.device = "cpu", projected: bool = True
) -> Encoder:
    """Return the bundled encoder; see ``docs/glyphs.md``."""
    if place:
        raise BenchError(f"there is one encoder {NAME}; leave out {place!r}")
    config, tokenizer = read_config(), read_tokenizer()
    side = int(config["vision_cfg"]["image_size"])

    def transform(image: Image.Image) -> Tensor:
        return pixels(np.array(image.convert("L"))[None], side)[0]

    # Weights of lower precision are known when they are made.
    known = Known(digest_of_weights(read_weights()), ACTIVATIONS) if precision == "fp32" else None
    return Encoder(
        name=NAME,
        model=partial(_model, precision, device),
        transform=transform,
        tokenizer=tokenizer,
        token_count=lambda text: len(tokenizer.encode(text)) + 2,
        context_length=tokenizer.context_length,
        preprocessing={
            "grey": True,
            "side": side,
            # The transform of a mid-grey image holds its shift and scale without reading private names.
            "levels": [float(transform(Image.new("L", (1, 1), level))[0, 0, 0]) for level in (0, 255)],
        },
        precision=precision,
        device=torch.device(device),
        projected=projected,
        known=known,
    )


def _model(precision: Precision, device: str | torch.device) -> nn.Module:
    # open_clip takes seconds to import, and most runs read features only.
    with large_imports(forget=False):
        import open_clip

        from bench.encoders.glyphs.model import load

    model: nn.Module = load().model
    if precision != "fp32":
        open_clip.model.convert_weights_to_lp(model, dtype=DTYPES[precision])
    return model.to(device).eval().requires_grad_(False)
