"""DMN: a memory of queries by predicted class, read by how near each is to the query at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.streaming import in_turn
from bench.utils.random import Stream

_FIRST = 256
"""Rows that a stream begins with room for; doubled whenever they are full."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """What is there before the stream: class texts [c, d], and labelled images [n, d] with their columns."""

    texts: Tensor = field(metadata=STATISTICS)
    shots: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)


@dataclass(eq=False)
class Met:
    """The queries that are kept, in rows behind the texts and the labelled images.

    Attributes
    ----------
    rows : Tensor [r, d]
        Room; the first ``used`` are taken.
    columns : int64 Tensor [r]
    entropies : Tensor [r]
        Of queries; minus infinity for what is always kept.
    filled : list of int
        Queries of each class.
    """

    rows: Tensor
    columns: Tensor
    entropies: Tensor
    used: int
    filled: list[int]

    def take(self, x: Tensor, column: int, entropy: Tensor, slots: int) -> None:
        """Keep a query [d]: in a free slot of its class, or in the place of the one with the largest entropy."""
        if self.filled[column] < slots:
            self._grow()
            at = self.used
            self.used, self.filled[column] = at + 1, self.filled[column] + 1
            self.columns[at] = column
        else:
            own = torch.where(self.columns[: self.used] == column, self.entropies[: self.used], -torch.inf)
            at = int(own.argmax())
            if not bool(entropy < own[at]):
                return
        self.rows[at], self.entropies[at] = x, entropy

    def _grow(self) -> None:
        if self.used == len(self.rows):
            self.rows = torch.cat([self.rows, torch.zeros_like(self.rows)])
            self.columns = torch.cat([self.columns, torch.zeros_like(self.columns)])
            self.entropies = torch.cat([self.entropies, torch.zeros_like(self.entropies)])


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
        """Return a memory without queries."""
        c, d = state.texts.shape
        rows = torch.cat([state.texts, state.shots, state.texts.new_zeros(_FIRST, d)])
        columns = torch.cat([torch.arange(c, device=rows.device), state.columns, state.columns.new_zeros(_FIRST)])
        return Met(rows, columns, rows.new_full((len(rows),), -torch.inf), c + len(state.shots), [0] * c)

    def step(self, state: Fixed, seen: Met, queries: Tensor) -> Tensor:
        """Return the sum of both distributions [q, c] for the next queries."""
        return torch.cat([self._one(state, seen, x) for x in normalise(queries).split(1)])

    def _one(self, state: Fixed, seen: Met, x: Tensor) -> Tensor:
        p = (LOGIT_SCALE * x @ state.texts.T).softmax(1)
        entropy = -(p * (p + 1e-8).log()).sum()
        seen.take(x[0], int(p.argmax()), entropy, self.slots)
        rows, columns = seen.rows[: seen.used], seen.columns[: seen.used]
        weighed = (self.beta * (rows @ x[0] - 1)).exp().unsqueeze(1) * rows
        means = normalise(torch.zeros_like(state.texts).index_add_(0, columns, weighed))
        return p + self.weight * (LOGIT_SCALE * x @ means.T).softmax(1)

    def score(self, state: Fixed, queries: Tensor) -> Tensor:
        """Return the sum of both distributions [q, c] of queries as a stream of their own."""
        return in_turn(self, state, queries)
