"""What the bundled encoder's image tower is given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

# Ink covers little of an image: with these the mean grey level maps to zero.
_MEAN, _SCALE = 0.8, 0.25


def pixels(images: npt.NDArray[np.uint8], side: int) -> torch.Tensor:
    """Turn grey images into the input of the image tower.

    Parameters
    ----------
    images
        uint8, shape (images, height, width), dark ink on light ground.
    side
        Side that the model expects; other sizes are resampled bilinearly.

    Returns
    -------
    Tensor of float32, shape (images, 3, side, side)
        The grey level in three equal channels, shifted and scaled.

    Raises
    ------
    ValueError
        The array has another type or number of axes.
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"expected uint8 (images, height, width), got {images.dtype} {images.shape}")
    x = torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).float()
    if x.shape[-2:] != (side, side):
        x = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
    x = (x / 255.0 - _MEAN) / _SCALE
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
