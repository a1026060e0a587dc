"""Trees of classes: given in a file, read off names, or made of mean images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.dataset import Dataset
from bench.functional.class_tree import paths_to_nodes
from bench.functional.classwise import class_means, normalise
from bench.sampling.taxonomies import read_synsets, read_tree
from bench.utils.errors import BenchError
from bench.utils.hashing import digest


@dataclass(frozen=True, eq=False)
class Tree:
    """The node of each class at each depth, int [c, depth], and what the tree is made of."""

    nodes: NDArray[np.int64]
    of: str


def tree_of(dataset: Dataset, ids: Sequence[int], path: Path | None, levels: int, synsets: Path | None = None) -> Tree:
    """Return the tree of some classes.

    Raises
    ------
    BenchError
        If a file cannot be read or leaves a class out, or synsets come without a tree.
    """
    names = [dataset.class_names[label] for label in ids]
    if path is not None:
        told = read_synsets(synsets, dataset.class_names, dataset.name) if synsets is not None else None
        paths = read_tree(path, names, dataset.name, [told[label] if told else None for label in ids])
        # A file of another content is another condition, whatever it is called.
        return Tree(paths_to_nodes(paths), f"{path.name} {digest(paths)[:6]}")
    if synsets is not None:
        raise BenchError(
            f"hierarchy.synsets {synsets} names synsets of no tree; give WordNet's data.noun as hierarchy.tree"
        )
    if _words_shared(names):
        return Tree(paths_to_nodes([name.split()[:-1][:levels] for name in names]), "words of names")
    return Tree(paths_to_nodes(_clusters(dataset, ids, levels)), "mean images")


def _words_shared(names: Sequence[str]) -> bool:
    """Return whether half of the classes have names of several words of which the first is shared by some, not all."""
    first = Counter(name.split()[0] for name in names if len(name.split()) > 1)
    return 2 * sum(n for n in first.values() if n > 1) >= len(names) and len(first) > 1


def _clusters(dataset: Dataset, ids: Sequence[int], levels: int) -> list[list[str]]:
    """Return ancestors by average linkage of the cosines of mean images, cut to 2, 4, 8, ... clusters."""
    # Only trees that no one gave need it, and its import takes as long as that of all scenarios.
    from scipy.cluster.hierarchy import fcluster, linkage

    images = dataset.role("support").of_classes(list(ids))
    lookup = {label: column for column, label in enumerate(ids)}
    columns = torch.tensor([lookup[label] for label in images.labels.tolist()], dtype=torch.int64)
    means = normalise(class_means(normalise(images.x.cpu()), columns, len(ids))).double().numpy()
    joined = linkage(means + 1e-12 * np.arange(len(ids))[:, None], "average")
    cuts = [fcluster(joined, min(2 ** (level + 1), len(ids)), "maxclust") for level in range(levels)]
    return [[f"{level}.{cut[row]}" for level, cut in enumerate(cuts)] for row in range(len(ids))]
