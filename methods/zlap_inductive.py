"""ZLaP for one query at a time: labels of class texts spread over a memory without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.functional.propagation import propagate
from bench.learning.class_texts import prompt_matrix
from bench.learning.text_graph import graph, links
from bench.search import Index
from bench.utils.random import Stream
from bench.utils.room import require_room


@dataclass(frozen=True, eq=False)
class Spread:
    """The memory, the class texts, and what reaches each of both.

    Attributes
    ----------
    keys : Tensor [m, d]
        The items as they are stored.
    reached : Tensor [c + m, c]
        The columns of the inverse that belong to class texts; rows of texts, then of items.
    """

    keys: Tensor = field(metadata=MEMORY)
    texts: Tensor = field(metadata=STATISTICS)
    reached: Tensor = field(metadata=MEMORY)


@method(
    "zlap-inductive",
    paper="Stojnic et al., Label Propagation for Zero-shot Classification with Vision-Language Models, CVPR 2024, "
    "arXiv:2404.04072",
    equation="scores_c = y' (I - alpha D^-1/2 W D^-1/2)^-1 e_c, y the query's k cosines to items and to texts",
    needs=("images", "prompts"),
    stores_items=True,
    variants={"zlap-sparse": {"sparse": True}},
)
@dataclass(frozen=True, kw_only=True)
class ZLaPInductive:
    """Read the answer to a query off a graph of the image memory and the class texts; labels of items are not read.

    As the official code has it (vladan-stojnic/ZLaP, commit 89ab14b, ``do_inductive_lp``), whose solution for each
    query is the same number by the symmetry of the inverse: its columns are solved for once. The query's nearest texts
    weigh cosine^gamma, and negatives 0.

    Attributes
    ----------
    sparse : bool
        Of each row of the inverse only the largest entry is kept.
    """

    k: Annotated[int, Ge(1)] = 5
    gamma: Annotated[float, Gt(0)] = 5.0
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.3
    sparse: bool = False

    def build(self, task: Task, *, rng: Stream) -> Spread:
        """Return the solved graph."""
        texts = prompt_matrix(task)
        assert texts is not None
        # Not by way of labelled items, since labels count as read where they are looked at.
        images = task.memory.images if len(task.memory.images) or not len(task.support) else task.support
        require_room(
            4 * (len(images) + len(texts)) * len(texts),
            what=f"what reaches {len(images):,} items from {len(texts):,} class texts",
            instead="give it fewer items, or take zlap, which needs no memory",
            device=task.device,
        )
        x = normalise(images.x)
        made = graph(x, Index(images.x), texts, k=self.k, gamma=self.gamma)
        reached = propagate(made, torch.arange(len(texts), device=x.device), alpha=self.alpha)
        if self.sparse:
            largest = reached.argmax(1, keepdim=True)
            reached = torch.zeros_like(reached).scatter(1, largest, reached.gather(1, largest))
        return Spread(images.x, texts, reached)

    def score(self, state: Spread, queries: Tensor) -> Tensor:
        """Return what reaches each class from each query, [q, c]."""
        x = normalise(queries)
        found = links(x, Index(state.keys), state.texts, k=self.k, gamma=self.gamma)
        out = torch.zeros(len(x), len(state.texts), device=x.device)
        for to, weight in zip(found.to.unbind(1), found.weights.unsqueeze(2).unbind(1), strict=True):
            out += weight * state.reached[to]
        return out
