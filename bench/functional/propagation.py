"""Label propagation over a graph of nearest neighbours, without an edge that is not there.

Iscen et al., Label Propagation for Deep Semi-Supervised Learning, CVPR 2019, arXiv:1904.04717: scores Z solve
(I - alpha D^-1/2 W D^-1/2) Z = Y with W symmetric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_COLUMNS = 1 << 23
"""Numbers of a block of columns that are held at a time, 32 MiB; eight such blocks live at once."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Directed edges: node i is linked to ``to[i]`` with ``weights[i]``; the graph is W + W'.

    Attributes
    ----------
    to : int64 Tensor [n, k]
    weights : Tensor [n, k]
        At least 0; 0 is no edge.
    """

    to: Tensor
    weights: Tensor

    def times(self, x: Tensor) -> Tensor:
        """Return (W + W') x of values [n, r]."""
        out = torch.zeros_like(x)
        # One pass over all nodes for each of the k edges: n k r numbers would be held at once otherwise.
        for to, weight in zip(self.to.unbind(1), self.weights.unsqueeze(2).unbind(1), strict=True):
            out += weight * x[to]
            out.index_add_(0, to, weight * x)
        return out

    def scaled(self) -> Graph:
        """Return the graph with D^-1/2 on both sides of its weights; a node without edges stays so."""
        degree = self.times(torch.ones(len(self.to), 1, device=self.to.device, dtype=self.weights.dtype))
        root = degree.clamp(min=torch.finfo(degree.dtype).tiny).rsqrt().where(degree > 0, 0.0).squeeze(1)
        return Graph(self.to, self.weights * root.unsqueeze(1) * root[self.to])


def propagate(graph: Graph, columns: Tensor, *, alpha: float, tolerance: float = 1e-6, most: int = 50) -> Tensor:
    """Return Z of (I - alpha S) Z = E [n, r], S the scaled graph and E with a 1 in the given row of each column.

    By conjugate gradients, all columns of a block together. Eigenvalues lie between 1 - alpha and 1 + alpha, so the
    number of steps that reach the tolerance is known beforehand, and nothing is read back on the way.

    Parameters
    ----------
    columns : int64 Tensor [r]
        The node of each right side.
    """
    scaled, n = graph.scaled(), len(graph.to)
    steps = steps_for(alpha, tolerance, most)
    size = max(1, _COLUMNS // max(1, n))
    found = scaled.weights.new_empty(n, len(columns))
    for start in range(0, len(columns), size):
        here = slice(start, start + size)
        found[:, here] = _solve(scaled, columns[here], alpha, steps)
    return found


def steps_for(alpha: float, tolerance: float, most: int) -> int:
    """Return how many steps of conjugate gradients bring the error below a share of the first one."""
    root = math.sqrt((1 + alpha) / (1 - alpha))
    rate = (root - 1) / (root + 1)
    return most if rate <= 0 else min(most, math.ceil(math.log(tolerance / 2) / math.log(rate)))


def _solve(scaled: Graph, nodes: Tensor, alpha: float, steps: int) -> Tensor:
    r = torch.zeros(len(scaled.to), len(nodes), device=nodes.device, dtype=scaled.weights.dtype)
    r[nodes, torch.arange(len(nodes), device=nodes.device)] = 1
    z, p, square = torch.zeros_like(r), r.clone(), (r * r).sum(0)
    tiny = torch.finfo(r.dtype).tiny
    for _ in range(steps):
        q = p - alpha * scaled.times(p)
        step = square / (p * q).sum(0).clamp(min=tiny)
        z += step * p
        r -= step * q
        new = (r * r).sum(0)
        p = r + new / square.clamp(min=tiny) * p
        square = new
    return z
