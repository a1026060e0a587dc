"""Small images and folders of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, *, size: tuple[int, int] = (40, 48)) -> Image.Image:
    """A coloured image that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((size[1] * 2, size[0] * 2))


def lay_out(root: Path, files: dict[str, int]) -> Path:
    """Write one small image a path."""
    for name, seed in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        noise(seed).save(root / name)
    return root
