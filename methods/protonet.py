"""Nearest class mean."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from bench.core.certificate import Certificate, Edit
from bench.core.explanation import Explanation
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.certificates import changed_by_one, insertions_into_means, removals_from_means
from bench.functional.certificates_of_heads import relabellings_of_means
from bench.functional.classwise import class_counts, class_sums, normalise
from bench.learning.unlearning import named
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Sums of the unit-norm features of each class, float64 [c, d], and how many there were, int64 [c]."""

    sums: Tensor = field(metadata=STATISTICS)
    counts: Tensor = field(metadata=STATISTICS)

    def means(self) -> Tensor:
        """Return the mean of each class, float32 [c, d]; zeros for a class without images."""
        return (self.sums / self.counts.clamp(min=1).unsqueeze(1)).float()

    @cached_property
    def prototypes(self) -> Tensor:
        """The means at unit norm, float32 [c, d]; made once, since one query is compared faster than they are made."""
        return normalise(self.means())


@method(
    "protonet",
    paper="Snell et al., Prototypical Networks for Few-shot Learning, NeurIPS 2017, arXiv:1703.05175",
    equation="eq. 1 and 2, cosine similarity for the squared distance",
    adapted="no training: the frozen features are the embedding; cosine similarity",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class ProtoNet:
    """Score a query by its cosine to the mean of each class.

    The mean runs over the support, or over the image memory with its weak labels when there is no support. The
    state keeps sums and counts, so a further session adds to it exactly. Features have unit norm before the mean, and
    the mean after it. Nothing is drawn, trained or chosen; ``temperature`` divides the cosines and changes no answer.
    """

    temperature: Annotated[float, Gt(0)] = 0.01

    def build(self, task: Task, *, rng: Stream) -> Prototypes:
        """Return sums and counts by class."""
        items = task.labelled
        columns = task.columns(items.labels)
        return Prototypes(
            class_sums(items.x, columns, task.n_classes, unit=True), class_counts(columns, task.n_classes)
        )

    def extend(self, state: Prototypes, task: Task, *, rng: Stream) -> Prototypes:
        """Return sums and counts with those of a further session added."""
        new = self.build(task, rng=rng)
        old = len(state.counts)
        new.sums[:old] += state.sums
        new.counts[:old] += state.counts
        return new

    def forget(self, state: Prototypes, task: Task, ids: Collection[str]) -> Prototypes:
        """Return sums and counts without the named items."""
        gone = task.labelled.take(named(task.labelled, task, ids))
        columns = task.columns(gone.labels)
        n = len(state.counts)
        return Prototypes(
            state.sums - class_sums(gone.x, columns, n, unit=True), state.counts - class_counts(columns, n)
        )

    def score(self, state: Prototypes, queries: Tensor) -> Tensor:
        """Return cosines divided by the temperature, [q, c]; a class without images gets minus infinity."""
        scores = normalise(queries) @ state.prototypes.T / self.temperature
        return scores.masked_fill(state.counts == 0, -torch.inf)

    def certify(self, state: Prototypes, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return how many items must come, exactly, or leave or be relabelled: exactly if it is one, else at least."""
        unit, sums = normalise(queries).double(), state.sums
        if edit == "insert":
            least = insertions_into_means(sums, unit @ normalise(sums).double().T, most)
            return Certificate(least, torch.ones_like(least, dtype=torch.bool))
        items = task.labelled
        if len(items) != int(state.counts.sum()):
            raise Unsuitable("its state keeps sums alone, and not the items of earlier sessions that might be edited")
        columns = task.columns(items.labels)
        rule = removals_from_means if edit == "remove" else relabellings_of_means
        return Certificate(*rule(sums, state.counts, normalise(items.x), columns, unit, most))

    def fewest_removals(self, state: Prototypes, task: Task, query: Tensor, most: int) -> list[tuple[str, ...]]:
        """Return the items whose removal alone changes the answer; beyond one the fewest are not known."""
        items = task.labelled
        if len(items) != int(state.counts.sum()):
            return []
        unit, columns = normalise(query.unsqueeze(0)), task.columns(items.labels)
        changed = changed_by_one(state.sums, state.counts, normalise(items.x), columns, unit)[0]
        return [(str(name),) for name in items.ids[changed.cpu().numpy()]]

    def explain(self, state: Prototypes, task: Task, query: Tensor) -> Explanation:
        """Return the cosine to the mean of each class; 0 for a class without images."""
        return Explanation(prototypes={"image": state.prototypes @ normalise(query)})
