"""Data sets whose images are arrays in a few files: CIFAR."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.images.items import ImageItem
from bench.data.standard.layout import RawDataset, lines
from bench.utils.errors import BenchError

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


def cifar(root: Path, *, binary: str, labels: str, skip: int, python: str, torchvision: str) -> RawDataset:
    """Read CIFAR-10 or CIFAR-100 in its binary version, or in its Python version through torchvision.

    torchvision compares the checksums of the Python version's pickles before it opens them.

    Parameters
    ----------
    binary, python : str
        The folder of each version.
    labels : str
        The binary version's file of class names.
    skip : int
        Label bytes before the fine label in each record of the binary version.
    torchvision : str
        The class in ``torchvision.datasets``.
    """
    if (root / binary).is_dir():
        return _binary(root / binary, labels, skip)
    # torchvision has no type stubs.
    datasets: Any = importlib.import_module("torchvision.datasets")
    items, names = [], []
    for split, train in (("train", True), ("test", False)):
        try:
            stored = getattr(datasets, torchvision)(root, train=train, download=False)
        except RuntimeError:
            raise BenchError(f"{root / python} is incomplete or damaged; download it again") from None
        names = list(stored.classes)
        for row, (image, label) in enumerate(zip(stored.data, stored.targets, strict=True)):
            items.append(ImageItem(f"{split}/{row}", names[label], partial(_ppm, image), split))
    return RawDataset(items, names)


def _binary(folder: Path, labels: str, skip: int) -> RawDataset:
    names = lines(folder / labels)
    record = skip + 1 + _PIXELS
    items = []
    for split, pattern in (("train", "*train*.bin"), ("train", "data_batch_*.bin"), ("test", "*test*.bin")):
        for path in sorted(folder.glob(pattern)):
            raw = np.fromfile(path, dtype=np.uint8)
            if len(raw) % record:
                raise BenchError(
                    f"{path} is truncated: {len(raw)} bytes are no multiple of {record}; download it again"
                )
            for row, one in enumerate(raw.reshape(-1, record)):
                if one[skip] >= len(names):
                    raise BenchError(f"{path}: label {one[skip]} has no name in {labels}; download it again")
                image = one[skip + 1 :].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                items.append(ImageItem(f"{path.stem}/{row}", names[int(one[skip])], partial(_ppm, image), split))
    return RawDataset(items, names)


def _ppm(pixels: np.ndarray) -> bytes:
    return b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + np.ascontiguousarray(pixels).tobytes()
