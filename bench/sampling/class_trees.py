"""Trees of classes: given in a file, read off names, or made of mean images."""

from __future__ import annotations

import json
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
from bench.utils.errors import BenchError


@dataclass(frozen=True, eq=False)
class Tree:
    """The node of each class at each depth, int [c, depth], and what the tree is made of."""

    nodes: NDArray[np.int64]
    of: str


def tree_of(dataset: Dataset, ids: Sequence[int], path: Path | None, levels: int) -> Tree:
    """Return the tree of some classes.

    Raises
    ------
    BenchError
        If a file cannot be read or leaves a class out.
    """
    names = [dataset.class_names[label] for label in ids]
    if path is not None:
        return Tree(paths_to_nodes(_given(path, names, dataset.name)), path.name)
    if _words_shared(names):
        return Tree(paths_to_nodes([name.split()[:-1][:levels] for name in names]), "words of names")
    return Tree(paths_to_nodes(_clusters(dataset, ids, levels)), "mean images")


def _given(path: Path, names: Sequence[str], dataset: str) -> list[list[str]]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(
            f"hierarchy.tree {path} cannot be read ({error}); give a JSON object of names and lists"
        ) from None
    if not isinstance(tree, dict):
        raise BenchError(f"hierarchy.tree {path} is no JSON object; give the ancestors of each class by its name")
    missing = [name for name in names if name not in tree]
    if missing:
        raise BenchError(
            f"hierarchy.tree {path} leaves out {len(missing)} classes of {dataset}, {missing[0]!r} first; add them, or "
            "restrict the scenario to other classes"
        )
    for name in names:
        if not isinstance(tree[name], list) or not all(isinstance(one, str) for one in tree[name]):
            raise BenchError(f"hierarchy.tree {path}: {name!r} needs a list of the names of its ancestors")
    return [tree[name] for name in names]


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
