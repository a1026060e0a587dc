"""Images as a classifier is asked about them: decoded and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from bench.data.images.decode import decode
from bench.data.images.items import Unusable, read_file
from bench.encoders.encoder import Encoder
from bench.utils.errors import BenchError
from bench.utils.names import expand, shown


def encode_images(encoder: Encoder, several: Sequence[Any]) -> Tensor:
    """Return unit-norm features of images given as paths, bytes or PIL images, float32 [n, d].

    Raises
    ------
    BenchError
        For one that cannot be used, with the reason.
    """
    if not several:
        raise BenchError("no image was given; give at least one")
    return encoder.encode_images([opened(one) for one in several]).float()


def opened(one: Any) -> Image.Image:
    """Return a decoded image; one that cannot be used raises :class:`BenchError`."""
    if isinstance(one, Image.Image):
        return one
    name = "an image" if isinstance(one, bytes) else shown(str(one), longest=200)
    try:
        return decode(one if isinstance(one, bytes) else read_file(expand(Path(one))))
    except Unusable as reason:
        raise BenchError(f"{name} cannot be used: {reason}") from None
