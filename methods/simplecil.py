"""Class means as an incremental classifier."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_sums, normalise
from bench.learning.unlearning import named
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Totals:
    """The sum of each class's features, float64 [c, d], and how many there were, int64 [c]."""

    sums: Tensor = field(metadata=STATISTICS)
    counts: Tensor = field(metadata=STATISTICS)

    @cached_property
    def prototypes(self) -> Tensor:
        """The means at unit norm, float32 [c, d]; made once, since one query is compared faster than they are made."""
        return normalise(self.sums)


@method(
    "simplecil",
    paper="Zhou et al., Revisiting Class-Incremental Learning with Pre-Trained Models: Generalizability and "
    "Adaptivity are All You Need, IJCV 2024, arXiv:2303.07338",
    equation="w_c = mean of f(x) over class c; score cos(w_c, f(x))",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class SimpleCIL:
    """Score a query by its cosine to the mean of each class's features as the encoder gives them.

    Unlike ``protonet`` features are not normalised before the mean; where a data set stores them with unit norm the
    two agree. The official code is zhoudw-zdw/RevisitingCIL (commit a2e6b71, models/simplecil.py).
    """

    def build(self, task: Task, *, rng: Stream) -> Totals:
        """Return sums and counts by class."""
        items = task.labelled
        columns = task.columns(items.labels)
        return Totals(class_sums(items.x, columns, task.n_classes), class_counts(columns, task.n_classes))

    def extend(self, state: Totals, task: Task, *, rng: Stream) -> Totals:
        """Return sums and counts with those of a further session added."""
        new = self.build(task, rng=rng)
        old = len(state.counts)
        new.sums[:old] += state.sums
        new.counts[:old] += state.counts
        return new

    def forget(self, state: Totals, task: Task, ids: Collection[str]) -> Totals:
        """Return sums and counts without the named items."""
        gone = task.labelled.take(named(task.labelled, task, ids))
        columns = task.columns(gone.labels)
        n = len(state.counts)
        return Totals(state.sums - class_sums(gone.x, columns, n), state.counts - class_counts(columns, n))

    def score(self, state: Totals, queries: Tensor) -> Tensor:
        """Return cosines [q, c]; a class without images gets minus infinity."""
        return (normalise(queries) @ state.prototypes.T).masked_fill(state.counts == 0, -torch.inf)
