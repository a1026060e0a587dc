"""The graph of ZLaP: images linked to their nearest images, and to their nearest class texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.functional.propagation import Graph
from bench.search import Index, top_k


@dataclass(frozen=True, eq=False)
class Links:
    """The links of images: ``to`` [n, 2 k] counts texts first, ``weights`` [n, 2 k] is at least 0."""

    to: Tensor
    weights: Tensor


def links(x: Tensor, index: Index, texts: Tensor, *, k: int, gamma: float) -> Links:
    """Return the k nearest images by cosine and the k nearest of c texts by cosine^gamma; below 0 is 0."""
    c = len(texts)
    near, said = index.search(x, k), top_k(x, texts, min(k, c))
    to = torch.cat([near.positions + c, said.positions], 1)
    weights = torch.cat([near.similarities.clamp(min=0), said.similarities.clamp(min=0) ** gamma], 1)
    return Links(to, weights.float())


def graph(x: Tensor, index: Index, texts: Tensor, *, k: int, gamma: float) -> Graph:
    """Return the graph over c texts and n images: no links between texts, and none of an image to itself.

    As in the official code an image's search returns itself among the k, and that link is then left out.
    """
    found, c = links(x, index, texts, k=k, gamma=gamma), len(texts)
    own = torch.arange(len(x), device=x.device).unsqueeze(1) + c
    weights = found.weights.masked_fill(found.to == own, 0.0)
    none = found.to.new_zeros(c, found.to.shape[1])
    return Graph(torch.cat([none, found.to]), torch.cat([weights.new_zeros(none.shape), weights]))
