"""ZLaP: labels of class texts spread over a graph of the queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.functional.propagation import propagate
from bench.learning.class_texts import prompt_matrix
from bench.learning.text_graph import graph
from bench.search import Index
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Texts:
    """The unit-norm text vector of each class, [c, d]."""

    vectors: Tensor = field(metadata=STATISTICS)


@method(
    "zlap",
    paper="Stojnic et al., Label Propagation for Zero-shot Classification with Vision-Language Models, CVPR 2024, "
    "arXiv:2404.04072",
    equation="(I - alpha D^-1/2 W D^-1/2) z_c = e_c; argmax_c z_c[query]",
    needs=("prompts",),
    sees="set",
)
@dataclass(frozen=True, kw_only=True)
class ZLaP:
    """Link every query to its nearest queries and class texts, and spread the label of each text.

    As the official code has it (vladan-stojnic/ZLaP, commit 89ab14b, zlap.py, ``do_transductive_lp``): the k nearest
    queries by cosine, of which a query itself is one and is left out; the k nearest texts by cosine^gamma; negatives
    are 0; W + W' of both. Conjugate gradients to 1e-6, 50 steps at most.
    """

    k: Annotated[int, Ge(1)] = 5
    gamma: Annotated[float, Gt(0)] = 5.0
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.3

    def build(self, task: Task, *, rng: Stream) -> Texts:
        """Return the class texts in column order."""
        texts = prompt_matrix(task)
        assert texts is not None
        return Texts(texts)

    def score(self, state: Texts, queries: Tensor) -> Tensor:
        """Return how much of each class's label reaches each query of the set, [q, c]."""
        x, c = normalise(queries), len(state.vectors)
        links = graph(x, Index(x), state.vectors, k=self.k, gamma=self.gamma)
        return propagate(links, torch.arange(c, device=x.device), alpha=self.alpha)[c:]
