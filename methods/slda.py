"""Streaming linear discriminant analysis."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from bench.core.certificate import Certificate, Edit
from bench.core.registry import method
from bench.core.task import Task
from bench.functional.certificates_of_heads import one_removal
from bench.functional.classwise import normalise
from bench.functional.gaussian import Moments, discriminant, solve
from bench.functional.left_out import covariance_without
from bench.functional.logistic_regression import Linear
from bench.learning.unlearning import named
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Discriminant:
    """The running moments and the linear classifier that follows from them."""

    moments: Moments
    linear: Linear


@method(
    "slda",
    paper="Hayes & Kanan, Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis, CVPR "
    "Workshops 2020, arXiv:1909.01520",
    equation="L = ((1 - e) S + e I)^-1; w_c = L mu_c; b_c = -mu_c' L mu_c / 2",
    adapted="S is the within-class scatter divided by n, which does not depend on the order of the images; the "
    "paper's streaming update weighs each deviation by its place in the stream. Features have unit norm",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class SLDA:
    """Linear discriminant of running class means and one shared, shrunk covariance.

    Sums and the solution are in float64. Classes count alike, however many images they have. A class without images
    scores minus infinity; in the official code it scores 0, which is above many a class that has some.
    """

    shrinkage: Annotated[float, Ge(1e-12), Le(1)] = 1e-4

    def build(self, task: Task, *, rng: Stream) -> Discriminant:
        """Return the moments of the labelled images and their discriminant."""
        return self._of(self._moments(task))

    def extend(self, state: Discriminant, task: Task, *, rng: Stream) -> Discriminant:
        """Return the state with the images of a further session."""
        return self._of(state.moments.plus(self._moments(task)))

    def forget(self, state: Discriminant, task: Task, ids: Collection[str]) -> Discriminant:
        """Return the state without the named images."""
        gone = task.labelled.take(named(task.labelled, task, ids))
        columns = task.columns(gone.labels)
        return self._of(state.moments.minus(Moments.of(gone.x, columns, len(state.moments.counts), embed=normalise)))

    def _moments(self, task: Task) -> Moments:
        items = task.labelled
        return Moments.of(items.x, task.columns(items.labels), task.n_classes, embed=normalise)

    def _of(self, moments: Moments) -> Discriminant:
        covariance = moments.scatter() / max(1, moments.n)
        eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        means = moments.means()
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * eye
        return Discriminant(moments, discriminant(means, solve(shrunk, means)))

    def score(self, state: Discriminant, queries: Tensor) -> Tensor:
        """Return discriminants, float64 [q, c]; a class without images gets minus infinity."""
        return state.linear(normalise(queries).double()).masked_fill(state.moments.counts == 0, -torch.inf)

    def certify(self, state: Discriminant, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return where one item that leaves changes an answer, exactly; of other answers that they stand one."""
        if edit != "remove":
            raise Unsuitable("of a shared covariance there is a rule for removed items alone")
        items = task.labelled
        if len(items) != state.moments.n:
            raise Unsuitable("its state keeps sums alone, and not the items of earlier sessions that might be edited")
        x, columns, q = normalise(items.x), task.columns(items.labels), normalise(queries)
        scores = self.score(state, queries)
        return Certificate(
            *one_removal(
                scores,
                lambda rows: covariance_without(state.moments, self.shrinkage, x, columns, q[rows]),
                len(items),
                most,
            )
        )
