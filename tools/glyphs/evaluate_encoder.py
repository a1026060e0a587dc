"""Accuracy of an encoder on characters, zero-shot and by the nearest neighbour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from bench.data.glyphs import render
from bench.data.glyphs.catalogue import Split, characters
from bench.encoders.glyphs.model import Encoder

SEED = 7
"""Seed of the images that are measured on."""

# Two halves, each with one roman and one slanted face of sans, mono and serif.
MEMORY_FACES = render.FACES[0::4] + render.FACES[3::4]
QUERY_FACES = render.FACES[1::4] + render.FACES[2::4]


def draws(char: str, split_name: str, count: int, faces: tuple[str, ...], *, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Draw a character several times.

    Parameters
    ----------
    char, split_name, faces, seed
        As in :func:`bench.data.glyphs.render.draw`.
    count
        Number of draws, taken at the indices from 0 on.

    Returns
    -------
    ndarray of uint8, shape (count, side, side)
        The images.
    """
    return np.stack([render.draw(char, seed=seed, split_name=split_name, index=i, faces=faces) for i in range(count)])


def nearest_draws(coder: Encoder, split: Split, queries: int = 4, memory: int = 36) -> torch.Tensor:
    """Return the largest cosine between an image and others that are not copies of it.

    Parameters
    ----------
    coder
        The encoder.
    split
        Part of the class split.
    queries
        Images of each class that look for their nearest.
    memory
        Images of each class that are looked through, as many as the data set has in support and memory.

    Returns
    -------
    Tensor of float32, shape (classes * queries,)
        Cosines.
    """
    classes = characters(split)

    def features(split_name: str, count: int) -> torch.Tensor:
        return coder.images(np.concatenate([draws(c.char, split_name, count, render.FACES) for c in classes]))

    return (features("query", queries) @ features("memory", memory).T).amax(1)


def accuracy(coder: Encoder, split: Split, per_class: int = 16) -> dict[str, float]:
    """Measure zero-shot and 1-NN accuracy over the classes of one split.

    Parameters
    ----------
    coder
        The encoder.
    split
        Part of the class split; only its own names and images compete, unless
        told otherwise.
    per_class
        Queries of each class, and images of each class in memory.

    Returns
    -------
    dict of str to float
        Shares in [0, 1], top-1 unless named top5: ``zero_shot``;
        ``zero_shot_all_names``, where the names of all splits compete;
        ``zero_shot_top5``; ``nearest``, 1-NN with other draws from all faces in
        memory; ``nearest_other_faces``, 1-NN with memory and queries from
        disjoint faces.
    """
    classes = characters(split)
    truth = torch.arange(len(classes)).repeat_interleave(per_class)

    def features(split_name: str, faces: tuple[str, ...]) -> torch.Tensor:
        parts = [draws(c.char, split_name, per_class, faces) for c in classes]
        return coder.images(np.concatenate(parts))

    def nearest(queries: torch.Tensor, memory: torch.Tensor) -> float:
        return float((truth[(queries @ memory.T).argmax(1)] == truth).float().mean())

    queries = features("query", render.FACES)
    names = coder.classes([c.name for c in classes])
    rivals = coder.classes([c.name for c in characters() if c.split != split])
    scores = queries @ names.T
    beaten = (queries @ rivals.T).amax(1) > scores.amax(1)
    hits = scores.topk(5, dim=1).indices == truth[:, None]
    across = features("query", QUERY_FACES), features("memory", MEMORY_FACES)
    return {
        "zero_shot": float(hits[:, 0].float().mean()),
        "zero_shot_all_names": float((hits[:, 0] & ~beaten).float().mean()),
        "zero_shot_top5": float(hits.any(1).float().mean()),
        "nearest": nearest(queries, features("memory", render.FACES)),
        "nearest_other_faces": nearest(*across),
    }
