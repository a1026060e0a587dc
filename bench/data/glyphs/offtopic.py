"""Off-topic pictures and sentences, which show no character."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from bench.data.glyphs.render import SIDE

PICTURES: dict[str, str] = {
    "doodle": "a doodle of lines and shapes",
    "scribble": "a long scribble",
    "noise": "a texture of random noise",
    "plot": "a plot of measurements over time",
    "tiles": "a pattern of grey tiles",
    "blobs": "a photo of blurred clouds",
}
"""Kinds of off-topic picture and a caption for each."""

_SUBJECTS = "the farmer,a tired driver,our neighbour,the young singer,a grey cat,the committee,my aunt,the crew"
_VERBS = "sold,painted,forgot,repaired,waited for,looked after,asked about,photographed"
_OBJECTS = (
    "a wooden boat,the morning train,fresh bread,an old bicycle,the garden wall,two tickets,a warm coat,the bridge"
)
_PLACES = (
    "near the river,before the storm,in the village,last summer,after lunch,at the harbour,on monday,in the mountains"
)
_GRAMMAR = tuple(tuple(part.split(",")) for part in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES))


def sentence(rng: np.random.Generator) -> str:
    """Make up a sentence on everyday matters, one of 4096."""
    return " ".join(part[int(rng.integers(len(part)))] for part in _GRAMMAR)


def _points(rng: np.random.Generator, count: int, side: int) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in rng.uniform(0.05, 0.95, (count, 2)) * side]


def _shapes(rng: np.random.Generator, kind: str, side: int) -> Image.Image:
    """Draw one of the line-drawn kinds in dark on light, oversampled by two."""
    extent = 2 * side
    image = Image.new("L", (extent, extent), int(rng.integers(180, 256)))
    pen = ImageDraw.Draw(image)
    ink, width = int(rng.integers(0, 100)), int(rng.integers(2, 6))
    if kind == "doodle":
        for _ in range(int(rng.integers(3, 7))):
            (x0, y0), (x1, y1), third = _points(rng, 3, extent)
            box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            fill = int(rng.integers(0, 256)) if rng.random() < 0.4 else None
            shape = int(rng.integers(4))
            if shape == 0:
                pen.ellipse(box, outline=ink, width=width, fill=fill)
            elif shape == 1:
                pen.rectangle(box, outline=ink, width=width, fill=fill)
            elif shape == 2:
                pen.polygon([(x0, y0), (x1, y1), third], outline=ink, width=width, fill=fill)
            else:
                pen.line([(x0, y0), (x1, y1)], fill=ink, width=width)
    elif kind == "scribble":
        steps = np.cumsum(rng.standard_normal((60, 2)), axis=0)
        steps = (steps - steps.min(0)) / (np.ptp(steps, axis=0) + 1e-6)
        pen.line([(float(x), float(y)) for x, y in (0.08 + 0.84 * steps) * extent], ink, width)
    else:
        margin = 0.12 * extent
        pen.line([(margin, margin), (margin, extent - margin), (extent - margin, extent - margin)], ink, 2)
        t = np.linspace(0.0, 1.0, 24)
        smooth = np.sin(2 * math.pi * (rng.uniform(0.5, 3) * t + rng.random()))
        wave = 0.5 + 0.25 * smooth + 0.08 * rng.standard_normal(24)
        x = margin + t * (extent - 2 * margin)
        y = extent * (1 - np.clip(wave, 0.15, 0.9))
        pen.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], ink, width)
    return image.reduce(2)


def _surface(rng: np.random.Generator, kind: str, side: int) -> Image.Image:
    """Fill the picture with grey: pure noise, square tiles, or smooth blobs."""
    values: npt.NDArray[np.floating[Any]]
    if kind == "noise":
        values = rng.normal(rng.uniform(80, 180), rng.uniform(20, 80), (side, side))
    elif kind == "tiles":
        cells = int(rng.integers(3, 11))
        values = np.kron(rng.uniform(0, 255, (cells, cells)), np.ones((side, side)))
        values = values[::cells, ::cells]
    else:
        values = rng.uniform(0, 255, (side, side))
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if kind == "blobs":
        image = image.filter(ImageFilter.GaussianBlur(side * float(rng.uniform(0.04, 0.12))))
        grey = np.asarray(image, dtype=np.float32)
        spread = float(np.ptp(grey)) + 1e-6
        image = Image.fromarray(((grey - grey.min()) / spread * 255.0).astype(np.uint8))
    return image


def picture(rng: np.random.Generator, kind: str, *, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """Draw an off-topic picture.

    Parameters
    ----------
    rng
        Source of all chance.
    kind
        A key of :data:`PICTURES`.
    side
        Side of the picture in pixels.

    Returns
    -------
    ndarray of uint8, shape (side, side)
        Grey levels, 255 is white.

    Raises
    ------
    ValueError
        No such kind.
    """
    if kind not in PICTURES:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(PICTURES)}")
    drawn = kind in ("doodle", "scribble", "plot")
    return np.array(_shapes(rng, kind, side) if drawn else _surface(rng, kind, side))
