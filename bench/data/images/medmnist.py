"""MedMNIST's ``.npz`` files: ``train_images``, ``train_labels`` and the same of ``val`` and ``test``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.data.arrays import read_arrays
from bench.data.images.items import ImageItem, ImageSource
from bench.utils.errors import BenchError

_MOST_CLASSES = 100_000


def medmnist(path: Path, *, class_names: Sequence[str] | None = None) -> ImageSource:
    """Return the images of a file of MedMNIST, grey [n, h, w] or coloured [n, h, w, 3] of 8 bits.

    Yang et al., MedMNIST v2, Scientific Data 2023, arXiv:2110.14795. The file has numbers for classes; without
    ``class_names`` those are the names.

    Raises
    ------
    BenchError
        For another file, several labels an image (ChestMNIST), volumes, and numbers without names.
    """
    items = []
    largest = -1
    arrays = read_arrays([path])
    splits = [split for split in ("train", "val", "test") if {f"{split}_images", f"{split}_labels"} <= set(arrays)]
    if not splits:
        raise BenchError(
            f"{path} holds no train_images and train_labels as MedMNIST's files do; features go through "
            "`bench data import`"
        )
    for split in splits:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        coloured = images.ndim == 4 and images.shape[3] == 3
        if images.dtype != np.uint8 or not (images.ndim == 3 or coloured):
            raise BenchError(
                f"{path}: {split}_images of shape {images.shape} are no pictures of 8 bits; volumes are not read"
            )
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or len(labels) != len(images) or labels.dtype.kind not in "iu":
            raise BenchError(f"{path}: {split}_labels of shape {labels.shape} are not one class an image")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < _MOST_CLASSES:
            raise BenchError(f"{path}: {split}_labels run from {labels.min()} to {labels.max()}, which are no classes")
        largest = max(largest, int(labels.max()) if len(labels) else -1)
        items += [(f"{split}/{row}", int(label), images[row], split) for row, label in enumerate(labels)]
    names = [str(n) for n in range(largest + 1)] if class_names is None else list(class_names)
    if largest >= len(names):
        raise BenchError(f"{path}: class {largest} has no name, there are {len(names)}; give a name for every one")
    made = [ImageItem(name, names[label], partial(_picture, image), split) for name, label, image, split in items]
    return ImageSource(str(path), made, tuple(names))


def _picture(pixels: np.ndarray) -> bytes:
    kind = "P6" if pixels.ndim == 3 else "P5"
    return f"{kind} {pixels.shape[1]} {pixels.shape[0]} 255\n".encode() + np.ascontiguousarray(pixels).tobytes()
