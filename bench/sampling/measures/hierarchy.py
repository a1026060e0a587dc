"""How bad mistakes are over a tree of classes, and answers that back off to an ancestor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.measure import Answered, Measured
from bench.functional.class_tree import deepest_sure, heights
from bench.sampling.measures.intervals import Rows, resampled
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Depth of mistakes, and how often and how deep an answer is right that backs off until half sure.

    Bertinetto et al., Making Better Mistakes, CVPR 2020, arXiv:1912.09393: the height of the lowest common ancestor of
    the answer and the right class (steps down to its deepest class), over mistakes (``mistake_height``) and over all
    queries (``mean_height``). Back-off: the deepest node with at least half of the probability; ``backoff_accuracy`` is
    how often it is an ancestor of the right class or that class, ``backoff_depth`` how deep it lies, 1 for the class
    itself.

    Attributes
    ----------
    nodes : int array [c, depth]
        The node of each column's class at each depth, from the root to the class.
    """

    nodes: NDArray[np.int64]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the measures with their intervals."""
        n, targets = answered.n_queries, answered.targets.numpy()
        height = heights(self.nodes, answered.columns[:n].numpy(), targets)
        scores = torch.nan_to_num(answered.scores[:n].double(), neginf=-1e30) / answered.temperature
        node, depth = deepest_sure(scores.softmax(1).numpy(), self.nodes)
        holds = self.nodes[targets, depth] == node
        deep = depth / (self.nodes.shape[1] - 1)

        def measure(queries: Rows, _: Rows) -> dict[str, float]:
            h = height[queries]
            return {
                "mistake_height": float(h[h > 0].mean()) if (h > 0).any() else float("nan"),
                "mean_height": float(h.mean()),
                "backoff_accuracy": float(holds[queries].mean()),
                "backoff_depth": float(deep[queries].mean()),
            }

        return resampled(measure, n, 0, rng)
