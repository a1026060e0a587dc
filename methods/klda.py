"""Kernel linear discriminant analysis by random Fourier features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from bench.core.registry import method
from bench.core.task import Task
from bench.functional.blocks import in_shared_blocks
from bench.functional.classwise import normalise
from bench.functional.gaussian import Fourier, Moments, Scatter, discriminant, fourier_features, solve_low_rank
from bench.functional.logistic_regression import Linear
from bench.functional.symmetric import solve_shifted
from bench.utils.random import Stream
from bench.utils.room import require_room


@dataclass(frozen=True, eq=False)
class Kernelised:
    """The random features, the running statistics in their space, and the classifier that follows from them."""

    features: Fourier
    statistics: Scatter | Moments
    linear: Linear


@method(
    "klda",
    paper="Momeni et al., Continual Learning Using a Kernel-Based Method Over Foundation Models, AAAI 2025, "
    "arXiv:2412.15571",
    equation="phi(x) = sqrt(2/D) cos(W'x + b), then linear discriminant analysis: w_c = S^-1 mu_c, "
    "b_c = -mu_c' S^-1 mu_c / 2",
    adapted="the covariance is shrunk by 1e-4 as in SLDA where the paper takes a pseudo-inverse; features have unit "
    "norm, and the kernel width is one value for all data sets where the paper tunes it",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class KLDA:
    """Linear discriminant analysis on D random Fourier features of the kernel exp(-gamma |x - y|^2).

    S is the scatter of all images around their class means, divided by n, with 1e-4 of it replaced by the identity;
    the official code has the sum and no n, which scales all scores alike. Classes count alike, however many images
    they have. W and b are drawn once. Sums and the solution are in float64; a class without images scores minus
    infinity.
    """

    width: Annotated[int, Ge(1)] = 5000
    gamma: Annotated[float, Gt(0)] = 1.0
    shrinkage: Annotated[float, Ge(1e-12), Le(1)] = 1e-4

    def build(self, task: Task, *, rng: Stream) -> Kernelised:
        """Return the state of one task."""
        n, width = len(task.labelled), self.width
        require_room(
            16 * width * width if n >= width else 24 * n * width,
            what=f"klda's statistics of {n:,} images and {width:,} features",
            instead="lower klda.width, or take slda",
            device=task.device,
        )
        features = Fourier.draw(task.dimension, self.width, self.gamma, task.device, rng)
        return self._of(features, self._statistics(features, task, seen=0))

    def extend(self, state: Kernelised, task: Task, *, rng: Stream) -> Kernelised:
        """Return the state with the images of a further session."""
        known, new = state.statistics, self._statistics(state.features, task, seen=state.statistics.n)
        if isinstance(known, Scatter) and isinstance(new, Scatter):
            return self._of(state.features, known.plus(new))
        known, new = (part.moments() if isinstance(part, Scatter) else part for part in (known, new))
        return self._of(state.features, known.plus(new))

    def _statistics(self, features: Fourier, task: Task, *, seen: int) -> Scatter | Moments:
        """Return the statistics of a task's images: their deviations, or sums where they are more than D in all."""
        items = task.labelled
        columns = task.columns(items.labels)
        if seen + len(items) < self.width:
            return Scatter.of(features(normalise(items.x)), columns, task.n_classes)

        def embed(x: Tensor) -> Tensor:
            return features(normalise(x))

        return Moments.of(items.x, columns, task.n_classes, embed=embed, width=self.width)

    def _of(self, features: Fourier, statistics: Scatter | Moments) -> Kernelised:
        share = (1 - self.shrinkage) / max(1, statistics.n)
        if isinstance(statistics, Scatter):
            # ((1 - e) F'F / n + e I)^-1 from the factor F, whose rows are fewer than D.
            means = statistics.means
            projected = solve_low_rank(statistics.factor * share**0.5, self.shrinkage, means)
        else:
            means = statistics.means()
            projected = solve_shifted(statistics.scatter().mul_(share), self.shrinkage, means.T).T
        return Kernelised(features, statistics, discriminant(means, projected))

    def score(self, state: Kernelised, queries: Tensor) -> Tensor:
        """Return discriminants, float64 [q, c]; a class without images gets minus infinity."""
        drawn = state.features.frequencies, state.features.phases
        scores = in_shared_blocks(queries, _embedded, drawn, lambda h: state.linear(h.double()))
        return scores.masked_fill(state.statistics.counts == 0, -torch.inf)


def _embedded(x: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """Return the random Fourier features of images [n, d] of any norm, [n, D]."""
    return fourier_features(normalise(x), frequencies, phases)
