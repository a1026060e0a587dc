"""Decoding of image files; a file that cannot be decoded gives the reason."""

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


_LOWEST = dct(np.eye(32), norm="ortho", axis=0)[:8]
"""The eight lowest of 32 cosines, float64 [8, 32]."""


def decode(data: bytes) -> Image.Image:
    """Return the decoded image in its own mode and orientation.

    Raises
    ------
    Unusable
        For what is no image, damaged or truncated, an animation, and an image of more than :data:`MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
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
    return image


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
