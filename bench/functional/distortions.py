"""Images as a bad camera, a small file or a careless hand would give them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageFilter

from bench.utils.random import Stream

Distortion = Literal["noise", "blur", "contrast", "pixelate", "jpeg", "rotate", "occlude"]
"""Kinds of distortion; the first five are kinds of ImageNet-C."""


def distort(image: Image.Image, kind: Distortion, severity: float, rng: Stream) -> Image.Image:
    """Return an image distorted, of the same size; severity 0 leaves it as it is, 1 is mild and 5 strong.

    After Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
    2019, arXiv:1903.12261; the strengths are ours, go with the image's size and can be any number.

    Parameters
    ----------
    image : Image
        Of eight bits a channel.
    kind : str
        ``noise``: normal, of standard deviation 0.08 s of the range, a channel on its own. ``blur``: Gaussian of radius
        0.012 s of the shorter side. ``contrast``: distances from the mean grey times 2^-s. ``pixelate``: as large as a
        picture of 1 / (1 + s) of the sides. ``jpeg``: quality 50 / (1 + s). ``rotate``: by 12 s degrees one way or
        the other. ``occlude``: a square of min(0.9, 0.1 s) of the area, of the mean colour, somewhere.
    rng : Stream
        What is drawn for this image.
    """
    if not severity:
        return image
    made: Image.Image = _KINDS[kind](image.convert("L" if image.mode in ("L", "1") else "RGB"), severity, rng)
    return made


def _noise(image: Image.Image, severity: float, rng: Stream) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64)
    noisy = pixels + 255 * 0.08 * severity * rng.numpy().standard_normal(pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _blur(image: Image.Image, severity: float, _: Stream) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(0.012 * severity * min(image.size)))


def _contrast(image: Image.Image, severity: float, _: Stream) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64)
    grey = pixels.mean()
    return Image.fromarray((grey + (pixels - grey) * 2.0**-severity).round().astype(np.uint8))


def _pixelate(image: Image.Image, severity: float, _: Stream) -> Image.Image:
    small = [max(1, round(side / (1 + severity))) for side in image.size]
    return image.resize((small[0], small[1]), Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


def _jpeg(image: Image.Image, severity: float, _: Stream) -> Image.Image:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=max(1, round(50 / (1 + severity))))
    return Image.open(sink).convert(image.mode)


def _rotate(image: Image.Image, severity: float, rng: Stream) -> Image.Image:
    turn = 12 * severity * (1 if rng.numpy().random() < 0.5 else -1)
    return image.rotate(turn, Image.Resampling.BILINEAR, fillcolor=_border(image))


def _occlude(image: Image.Image, severity: float, rng: Stream) -> Image.Image:
    width, height = image.size
    share = math.sqrt(min(0.9, 0.1 * severity))
    w, h = max(1, round(share * width)), max(1, round(share * height))
    x, y = rng.numpy().integers(0, [width - w + 1, height - h + 1]).tolist()
    covered = image.copy()
    covered.paste(_mean(_rows(image)), (x, y, x + w, y + h))
    return covered


def _border(image: Image.Image) -> int | tuple[int, ...]:
    """Return the mean colour of the outermost pixels."""
    pixels = _rows(image)
    return _mean(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))


def _rows(image: Image.Image) -> np.ndarray:
    """Return pixels [height, width, channels]."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def _mean(pixels: np.ndarray) -> int | tuple[int, ...]:
    mean = tuple(round(value) for value in pixels.reshape(-1, pixels.shape[-1]).mean(0).tolist())
    return mean if len(mean) > 1 else mean[0]


_KINDS: dict[str, Callable[[Image.Image, float, Stream], Image.Image]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "rotate": _rotate,
    "occlude": _occlude,
}
assert set(_KINDS) == set(get_args(Distortion))
