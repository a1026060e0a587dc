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
        The ancestors of each class from the root's child down to its parent. Below a shorter path the class itself
        stands at all depths.
    """
    depth = max((len(path) for path in paths), default=0)
    known: dict[tuple[str, ...], int] = {}
    table = np.zeros((len(paths), depth + 2), dtype=np.int64)
    for row, path in enumerate(paths):
        for level in range(len(path)):
            table[row, level + 1] = known.setdefault(tuple(path[: level + 1]), len(known) + 1)
    for row, path in enumerate(paths):
        table[row, len(path) + 1 :] = len(known) + 1 + row
    return table


def heights(nodes: Ints, first: Ints, second: Ints) -> Ints:
    """Return how high the lowest common ancestor of two classes is, for pairs of rows, int [q]; 0 for one class.

    The height of a node is the number of steps from it down to the deepest class below it.
    """
    depth = (nodes == nodes[:, -1:]).argmax(1)
    found = np.zeros(len(first), dtype=np.int64)
    for level in range(nodes.shape[1]):
        names, which = np.unique(nodes[:, level], return_inverse=True)
        deepest = np.full(len(names), level, dtype=np.int64)
        np.maximum.at(deepest, which, depth)
        shared = which[first] == which[second]
        found[shared] = (deepest - level)[which[first[shared]]]
    return found


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
