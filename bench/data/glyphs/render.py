"""Draw characters as small grey images."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.utils.random import labelled_generator

SIDE = 48
"""Default side of an image, in pixels."""

FACES: tuple[str, ...] = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
)
"""The font faces in use, all of them files that matplotlib ships."""

_OVERSAMPLING = 2
_EM = 0.62  # font size as a share of the side: accented capitals still fit
_BASELINE = 0.70  # height of the baseline from the top, as a share of the side
_MARGIN = 0.04  # free border of an undistorted glyph, as a share of the side
_BLUR = 0.02  # largest blur radius, as a share of the side


def font_path(face: str) -> Path:
    """Return the file of a face; raise ``ValueError`` where it is none of ours."""
    if face not in FACES:
        raise ValueError(f"unknown face {face!r}; known: {', '.join(FACES)}")
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"


@cache
def coverage(face: str) -> frozenset[int]:
    """Return the code points that a face has a glyph for."""
    return frozenset(FT2Font(str(font_path(face))).get_charmap())


def faces_with(char: str, faces: tuple[str, ...] = FACES) -> tuple[str, ...]:
    """Return those of ``faces`` that can draw ``char``, in their given order."""
    return tuple(face for face in faces if ord(char) in coverage(face))


@lru_cache(maxsize=256)
def _font(face: str, size: float) -> ImageFont.FreeTypeFont:
    # The basic layout engine is part of every Pillow; Raqm is not, and the two
    # place some marks differently.
    return ImageFont.truetype(str(font_path(face)), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _canvas(char: str, face: str, side: int) -> Image.Image:
    """Draw one glyph undistorted, white ink on black, ``side * _OVERSAMPLING`` wide."""
    extent = side * _OVERSAMPLING
    size = _EM * extent
    room = extent * (1 - 2 * _MARGIN)
    left, top, right, bottom = _font(face, size).getbbox(char, anchor="ls")
    shrink = min(1.0, room / max(right - left, 1), room / max(bottom - top, 1))
    if shrink < 1.0:
        size = math.floor(size * shrink)
        left, top, right, bottom = _font(face, size).getbbox(char, anchor="ls")
    x = (extent - left - right) / 2
    # Height over the baseline tells a comma from an apostrophe, so it is kept,
    # but for glyphs that would leave the canvas.
    low, high = extent * _MARGIN - top, extent * (1 - _MARGIN) - bottom
    y = min(max(_BASELINE * extent, low), max(low, high))
    image = Image.new("L", (extent, extent), 0)
    ImageDraw.Draw(image).text((x, y), char, fill=255, font=_font(face, size), anchor="ls")
    return image


def plain(char: str, face: str, *, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """Draw a character without any variation.

    Parameters
    ----------
    char
        One character.
    face
        One of :data:`FACES`.
    side
        Side of the image in pixels.

    Returns
    -------
    ndarray of uint8, shape (side, side)
        Coverage by ink, 255 where the pixel is full.

    Raises
    ------
    ValueError
        The face is unknown or has no glyph for the character.
    """
    if not faces_with(char, (face,)):
        raise ValueError(f"{face} has no glyph for {char!r}")
    return np.asarray(_canvas(char, face, side).reduce(_OVERSAMPLING))


def draw(
    char: str,
    *,
    seed: int,
    split_name: str,
    index: int,
    side: int = SIDE,
    faces: tuple[str, ...] = FACES,
) -> npt.NDArray[np.uint8]:
    """Draw a character with chance variation.

    Face, size, aspect, position, rotation, slant, blur, contrast and noise all
    vary.  Ink is always darker than the ground.

    Parameters
    ----------
    char
        One character.
    seed, split_name, index
        Name the draw: together with the character they fix every pixel, in any
        order of calls.  Different ``split_name`` give independent draws.
    side
        Side of the image in pixels.
    faces
        Faces to choose from; those without the character are passed over.

    Returns
    -------
    ndarray of uint8, shape (side, side)
        Grey levels, 255 is white.

    Raises
    ------
    ValueError
        None of the faces has a glyph for the character.
    """
    usable = faces_with(char, faces)
    if not usable:
        raise ValueError(f"no face among {faces} has a glyph for {char!r}")
    rng = labelled_generator(seed, "draw", split_name, ord(char), index)
    face = usable[int(rng.integers(len(usable)))]
    u = rng.uniform(-1.0, 1.0, size=9)

    extent = side * _OVERSAMPLING
    size = 0.96 + 0.14 * u[0]
    aspect = 1.0 + 0.08 * u[1]
    angle = math.radians(9.0 * u[2])
    slant = 0.12 * u[3]
    cos, sin = math.cos(angle) / size, math.sin(angle) / size
    # Image.transform maps output to input coordinates, hence the inverse map.
    a, b = aspect * (cos + slant * sin), aspect * (sin - slant * cos)
    c, d = -sin, cos
    centre = extent / 2
    dx, dy = centre + 0.06 * extent * u[4], centre + 0.05 * extent * u[5]
    coefficients = (a, b, centre - a * dx - b * dy, c, d, centre - c * dx - d * dy)
    ink = _canvas(char, face, side).transform(
        (extent, extent), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    ink = ink.reduce(_OVERSAMPLING)
    blur = max(0.0, float(u[6])) * side * _BLUR
    if blur > 0.0:
        ink = ink.filter(ImageFilter.GaussianBlur(blur))
    ground = 0.85 + 0.15 * u[7]
    dark = 0.2 + 0.2 * u[8]
    level = ground + (dark - ground) * (np.asarray(ink, dtype=np.float32) / 255.0)
    noise = rng.standard_normal((side, side), dtype=np.float32)
    level += 0.06 * rng.random() * noise
    return np.asarray(np.clip(level * 255.0 + 0.5, 0, 255), dtype=np.uint8)
