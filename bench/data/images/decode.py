"""Decoding of image files, the one door for all of them; a file that cannot be decoded gives the reason.

What the pixels are taken to mean:

- Grey values of 16 bits (PNG, TIFF, PGM) are scaled from their whole range, 0 to 65535, to 8 bits. Floats are taken to
  run from 0 to 1, as those of images do by convention, and are set aside where they do not. Whole numbers of 32 bits
  have no usual range and are set aside. Pillow itself would cut all of these off at 255.
- An orientation that a camera noted (EXIF) is not applied, and of a file with transparency the colours are taken as
  they are stored. So do torchvision's ``ImageFolder`` and open_clip's preprocessing, whose features these must equal.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.fft import dct

from bench.data.images.items import Unusable

MAX_PIXELS = 89_478_485
"""Larger images are refused before they are decoded: a small file can claim to be enormous. Pillow's own limit."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded; Pillow's rarer readers are not offered bytes from strangers."""

VERSION = 2
"""Of the pixels that :func:`decode` gives for a file; it is part of the key under which a feature is cached."""

_WITHOUT_RANGE = "whole numbers of 32 bits have no usual range; save the image with 8 or 16 bits"
_COLOURS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
"""Modes that Pillow turns to RGB without loss of their range."""

_LOWEST = dct(np.eye(32), norm="ortho", axis=0)[:8]
"""The eight lowest of 32 cosines, float64 [8, 32]."""


def decode(data: bytes, *, most: int = MAX_PIXELS) -> Image.Image:
    """Return the decoded image in its own mode, where that has 8 bits a channel, and in its own orientation.

    Grey images of more bits become mode ``L``; see the module for their scale.

    Raises
    ------
    Unusable
        For what is no image of the :data:`FORMATS`, damaged or truncated, an animation, an image of more than ``most``
        pixels, and one whose values have no known scale.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > most:
                raise Unusable(f"huge image of {image.width} x {image.height} pixels")
            # A camera's MPO file holds one photograph and its preview; every other file of several frames moves.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise Unusable("animated or multi-page image")
            image.load()
    except Unusable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unusable("decompression bomb: the header claims more pixels than are allowed") from None
    except UnidentifiedImageError:
        raise Unusable("not an image of a known format") from None
    except Exception as error:  # decoders of damaged files raise many kinds
        raise Unusable(f"corrupt image: {' '.join(str(error).split()) or type(error).__name__}") from None
    return _with_eight_bits(image)


def _with_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image whose channels have 8 bits each."""
    mode = image.mode
    if mode in _COLOURS:
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow puts the 16 bits of a PGM, and in some releases of a PNG, into whole numbers of 32.
        grey = np.asarray(image).astype(np.float64)
        if grey.size and (grey.min() < 0 or grey.max() > 65535):
            raise Unusable(f"grey values outside 16 bits; {_WITHOUT_RANGE}")
        scaled = grey / 257.0
    elif mode == "F":
        grey = np.asarray(image).astype(np.float64)
        if not (np.isfinite(grey).all() and grey.min() >= 0 and grey.max() <= 1):
            raise Unusable("floating-point values outside 0 to 1 have no known scale; save the image with 8 or 16 bits")
        scaled = grey * 255.0
    elif mode == "I":
        raise Unusable(_WITHOUT_RANGE)
    else:
        raise Unusable(f"colours in Pillow's mode {mode}, which have no way to RGB; save the image as RGB")
    made = Image.fromarray(np.rint(scaled).astype(np.uint8))
    made.format = image.format
    return made


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Return 64 bits that small changes of an image leave alone, uint8 [8].

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, thesis, Hagenberg 2010, section 3.2.1:
    signs of the 8 x 8 lowest frequencies of the 32 x 32 grey image about their median. The constant term, which
    would set the median's scale, is left out of it.
    """
    # Large images are halved by means of squares first, which costs a third of filtering them in one step.
    small = image.convert("L").resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    grey = np.asarray(small, dtype=np.float64)
    low = (_LOWEST @ grey @ _LOWEST.T).reshape(-1)
    # Of 63 numbers the median is the 32nd.
    return np.packbits(low > np.sort(low[1:])[31])
