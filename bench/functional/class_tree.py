"""Mistakes over a tree of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def paths_to_nodes(paths: Sequence[Sequence[str]]) -> Ints:
    """Return the node of each class at each depth, int [c, depth + 1]: the root first, the class itself last.

    Parameters
    ----------
    paths : sequence of sequences
        The ancestors of each class from the root's child down to its parent. A shorter path stays at its last node.
    """
    depth = max((len(path) for path in paths), default=0)
    known: dict[tuple[str, ...], int] = {}
    table = np.zeros((len(paths), depth + 2), dtype=np.int64)
    for row, path in enumerate(paths):
        full = [*path, *[""] * (depth - len(path))]
        for level in range(depth):
            table[row, level + 1] = known.setdefault(tuple(full[: level + 1]), len(known) + 1)
    table[:, -1] = np.arange(len(paths)) + len(known) + 1
    return table


def heights(nodes: Ints) -> Ints:
    """Return how far up the lowest common ancestor of two classes is, int [c, c]; 0 for the class itself."""
    shared = (nodes[:, None, :] == nodes[None, :, :]).cumprod(2).sum(2)
    return np.asarray(nodes.shape[1] - shared, dtype=np.int64)


def deepest_sure(probabilities: Floats, nodes: Ints, share: float = 0.5) -> tuple[Ints, Ints]:
    """Return the node that each query backs off to, and its depth: the deepest with at least a share of probability.

    Of several at a depth the one with the most. The root has all of it, at depth 0.

    Parameters
    ----------
    probabilities : float array [q, c]
    """
    q = len(probabilities)
    found, depth = np.zeros(q, dtype=np.int64), np.zeros(q, dtype=np.int64)
    for level in range(1, nodes.shape[1]):
        names, which = np.unique(nodes[:, level], return_inverse=True)
        mass = probabilities @ (which[:, None] == np.arange(len(names)))
        best = mass.argmax(1)
        sure = mass[np.arange(q), best] >= share
        found[sure], depth[sure] = names[best[sure]], level
    return found, depth
