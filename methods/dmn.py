"""DMN: a memory of queries by predicted class, read by how near each is to the query at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_counts, normalise
from bench.functional.stored_rows import blocks_of
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.streaming import in_turn
from bench.utils.random import Stream

_PADDED = 2
"""How many times as many rows as images and texts there may be among the rows of classes."""
_FIRST = 4
"""Queries of a class that a stream begins with room for; doubled whenever one is full."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """What is there before the stream: class texts [c, d], and labelled images [n, d] with their columns."""

    texts: Tensor = field(metadata=STATISTICS)
    shots: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)


@dataclass(eq=False)
class Met:
    """What is kept of each class: its text, its labelled images, then queries; rows that are free are zero.

    Attributes
    ----------
    rows : Tensor [c, s, d]
    products : Tensor [c, s, s]
        Of the rows of a class with one another: with them the length of a weighed sum takes no pass over the rows.
    entropies : Tensor [c, s]
        Of queries; minus infinity for what is always kept.
    apart : Fixed or None
        Where the labelled images lie that are not among the rows; None if they are.
    used, filled : list of int
        Rows of each class, and how many of them are queries.
    """

    rows: Tensor
    products: Tensor
    entropies: Tensor
    used: list[int]
    filled: list[int]
    apart: Fixed | None

    def take(self, x: Tensor, column: int, entropy: Tensor, slots: int) -> None:
        """Keep a query [d]: in a free slot of its class, or in the place of the one with the largest entropy."""
        if self.filled[column] < slots:
            if self.used[column] == self.rows.shape[1]:
                self._grow(slots)
            at = self.used[column]
            self.used[column], self.filled[column] = at + 1, self.filled[column] + 1
        else:
            at = int(self.entropies[column].argmax())
            if not bool(entropy < self.entropies[column, at]):
                return
        self.rows[column, at], self.entropies[column, at] = x, entropy
        product = self.rows[column] @ x
        self.products[column, at], self.products[column, :, at] = product, product

    def cosines(self, x: Tensor, beta: float) -> Tensor:
        """Return the cosine of a query [d] with the sum of each class's rows, weighed by affinity, [c]."""
        near = self.rows @ x
        weights = (beta * (near - 1)).exp()
        if self.apart is not None:
            total = (weights.unsqueeze(1) @ self.rows).squeeze(1)
            for here, images in blocks_of(self.apart.shots):
                share = (beta * (images @ x - 1)).exp()
                total.index_add_(0, self.apart.columns[here], share.unsqueeze(1) * images)
            cosines: Tensor = total @ x / total.norm(dim=1).clamp(min=torch.finfo(total.dtype).tiny)
            return cosines
        squares = ((weights.unsqueeze(1) @ self.products).squeeze(1) * weights).sum(1)
        return (weights * near).sum(1) / squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()

    def _grow(self, slots: int) -> None:
        most = slots + max(used - filled for used, filled in zip(self.used, self.filled, strict=True))
        more = min(max(1, *self.filled), most - self.rows.shape[1])
        self.rows = F.pad(self.rows, (0, 0, 0, more))
        self.products = F.pad(self.products, (0, more, 0, more))
        self.entropies = F.pad(self.entropies, (0, more), value=-torch.inf)


@method(
    "dmn",
    paper="Zhang et al., Dual Memory Networks: A Versatile Adaptation Approach for Vision-Language Models, CVPR 2024, "
    "arXiv:2403.17589",
    equation="F_c = normalise(sum_i exp(-5.5 (1 - x m_ci)) m_ci); answer softmax(100 x T') + g softmax(100 x F')",
    adapted="one view of a query, whose own distribution gives its prediction and entropy, where the code has the "
    "surest tenth of 32 views; g is 1, where the code takes the best of 0.001 to 1000 on test labels; labelled images "
    "lie in the same memory, and the static memory that is trained is left out",
    needs=("prompts",),
    sees="stream",
)
@dataclass(frozen=True, kw_only=True)
class DMN:
    """Average what is kept of each class, weighed by its affinity to the query, into a classifier for that query.

    As the official code has it (YBZh/DMN, commit c6c218c, dmn_main.py, ``DualMem``): 50 slots a class beside its text
    and its labelled images; a query enters before it is answered, under the class it is predicted as; where a class is
    full it replaces the one with the largest entropy if its own is lower.

    Attributes
    ----------
    weight : float
        g.
    """

    slots: Annotated[int, Ge(1)] = 50
    beta: Annotated[float, Gt(0)] = 5.5
    weight: Annotated[float, Ge(0)] = 1.0

    def build(self, task: Task, *, rng: Stream) -> Fixed:
        """Return class texts and labelled images."""
        texts, support = prompt_matrix(task), task.support
        assert texts is not None
        return Fixed(texts, normalise(support.x), task.columns(support.labels))

    def begin(self, state: Fixed) -> Met:
        """Return a memory without queries.

        Labelled images lie among the rows of their class where classes are about as large as one another, and no larger
        than there are dimensions. Else they stay in the list that they are: classes times the largest of them, and its
        square, may be many times as much.
        """
        c, d = state.texts.shape
        sizes = class_counts(state.columns, c)
        counts = sizes.tolist()
        largest = 1 + max(counts, default=0)
        apart = c * largest > _PADDED * (c + len(state.columns)) or largest > d
        if apart:
            counts, largest = [0] * c, 1
        rows = state.texts.new_zeros(c, largest + _FIRST, d)
        rows[:, 0] = state.texts
        if not apart:
            order = state.columns.argsort(stable=True)
            own = state.columns[order]
            places = 1 + torch.arange(len(own), device=own.device) - (sizes.cumsum(0) - sizes)[own]
            rows[own, places] = state.shots[order]
        nothing = rows.new_full(rows.shape[:2], -torch.inf)
        return Met(
            rows, rows @ rows.transpose(1, 2), nothing, [1 + n for n in counts], [0] * c, state if apart else None
        )

    def step(self, state: Fixed, seen: Met, queries: Tensor) -> Tensor:
        """Return the sum of both distributions [q, c] for the next queries."""
        return torch.cat([self._one(state, seen, x) for x in normalise(queries).split(1)])

    def _one(self, state: Fixed, seen: Met, x: Tensor) -> Tensor:
        p = (LOGIT_SCALE * x @ state.texts.T).softmax(1)
        entropy = -(p * (p + 1e-8).log()).sum()
        seen.take(x[0], int(p.argmax()), entropy, self.slots)
        return p + self.weight * (LOGIT_SCALE * seen.cosines(x[0], self.beta)).softmax(0)

    def score(self, state: Fixed, queries: Tensor) -> Tensor:
        """Return the sum of both distributions [q, c] of queries as a stream of their own."""
        return in_turn(self, state, queries)
