"""The data set ``digits``: handwritten digits that scikit-learn ships, with a fixed image descriptor.

It needs no network and no encoder. There are no texts, so methods that need them are skipped.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import dataset
from bench.utils.random import Stream


def describe(images: np.ndarray) -> np.ndarray:
    """Return a descriptor of grey images, float32 [n, 192], unit norm.

    Square roots of the 64 pixels beside a histogram of gradient orientations (Dalal and Triggs, Histograms of
    Oriented Gradients for Human Detection, CVPR 2005): 8 orientations in 4 x 4 cells of 2 x 2 pixels, weighted by
    gradient length. Both halves have unit norm before they are joined.

    Parameters
    ----------
    images : array [n, 8, 8]
        Ink from 0 to 16.
    """
    images = images.astype(np.float64) / 16
    down, across = np.gradient(images, axis=(1, 2))
    length, angle = np.hypot(down, across), np.arctan2(down, across)
    bins = np.floor((angle + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    votes = (bins[..., None] == np.arange(8)) * length[..., None]
    cells = votes.reshape(len(images), 4, 2, 4, 2, 8).sum((2, 4)).reshape(len(images), -1)
    pixels = np.sqrt(images).reshape(len(images), -1)
    halves = [half / np.linalg.norm(half, axis=1, keepdims=True) for half in (pixels, cells)]
    return np.asarray(np.concatenate(halves, axis=1) / np.sqrt(2), dtype=np.float32)


def digit_images() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scikit-learn's digits: ink from 0 to 16 [1797, 8, 8], and which digit each is [1797].

    They are read from the file that it ships, since the import of ``sklearn.datasets`` takes as long as half of
    torch's; where its layout is another one, it is asked.
    """
    spec = find_spec("sklearn")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            rows = np.loadtxt(path, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images, found.target.astype(np.int64)


@dataset("digits", description="8 x 8 handwritten digits, fixed descriptor, no texts")
def load() -> Dataset:
    """Return the data set: 10 classes, about 60 support, 18 validation and 100 query images a class."""
    images, digits = digit_images()
    x = torch.from_numpy(describe(images))
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    ids = np.array([f"digit/{n}" for n in range(len(x))])
    every = Features(x, torch.from_numpy(digits), ids, names)
    order = Stream(0).child("digits", "splits").permutation(len(x))
    a, b = len(x) // 3, len(x) // 3 + len(x) // 10
    return Dataset(
        card=Card(
            name="digits",
            revision="scikit-learn load_digits",
            licence="CC BY 4.0",
            citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, doi:10.24432/C50P49",
            encoder="pixels+HOG",
            space="digits-descriptor",
            description="8 x 8 handwritten digits under a fixed descriptor; no texts",
        ),
        class_names=names,
        splits={
            "support": every.take(np.sort(order[:a])),
            "validation": every.take(np.sort(order[a:b])),
            "query": every.take(np.sort(order[b:])),
        },
        roles={"support": ("support",), "validation": ("validation",), "query": ("query",)},
        prompts=Features.empty(x.shape[1], names),
        memory=Memory.empty(x.shape[1]),
    )
