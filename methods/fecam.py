"""Mahalanobis distance with a covariance for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from bench.core.registry import method
from bench.core.task import Task
from bench.functional.classwise import normalise, rows_of_classes
from bench.functional.gaussian import Scatter
from bench.utils.errors import BenchError
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Metric:
    """A class's metric (D x)' S^-1 (D x), D the standard deviations of S = ridge I + L' C L, C = diag(sign).

    Attributes
    ----------
    deviations : Tensor [d]
    ridge : Tensor []
    low : Tensor [r, d]
        L.
    inner : Tensor [r, r]
        (ridge C + L L')^-1, by which S^-1 = (I - L' inner L) / ridge (Woodbury).
    """

    stored_as: ClassVar = "statistics"

    deviations: Tensor
    ridge: Tensor
    low: Tensor
    inner: Tensor


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """The running statistics, and the metric of each class; None for a class without spread."""

    scatter: Scatter
    metrics: tuple[Metric | None, ...]


@method(
    "fecam",
    paper="Goswami et al., FeCAM: Exploiting the Heterogeneity of Class Distributions in Exemplar-Free Continual "
    "Learning, NeurIPS 2023, arXiv:2309.14062",
    equation="D(x, c) = (x~ - mu~_c)' N(S_c + g1 V1 I + g2 V2 (1 - I))^-1 (x~ - mu~_c)",
    adapted="g1 = 100 and g2 = 0 in place of 1 and 1 twice, or 1 and 0; no Tukey transform, as the paper does for "
    "transformers, whose features are not all positive; a class without spread (one image) has the identity for its "
    "covariance",
    needs=("images",),
    variants={
        "fecam-official": {"gamma1": 3.0, "gamma2": 3.0, "unit_means": True},
        "fecam-official-vit": {"gamma1": 1.0, "gamma2": 0.0, "unit_means": False},
    },
    faithful=("fecam-official", "fecam-official-vit"),
)
@dataclass(frozen=True, kw_only=True)
class FeCAM:
    """Nearest class by Mahalanobis distance, with a shrunk, correlation-normalised covariance for each class.

    V1 and V2 are the mean diagonal and off-diagonal entry of the class's covariance, by n - 1; N divides by standard
    deviations. Features have unit norm.

    The official repository (dipamgoswami/FeCAM, commit d2479b7) has two forms. Its main code (models/base.py,
    utils/maha_utils.py, without the Tukey transform) shrinks with (1, 1) twice. Since V1 and V2 of what was shrunk are
    (1 + g1) V1 and (1 + g2) V2, that is one shrinkage with ((1 + g1)^2 - 1, (1 + g2)^2 - 1) = (3, 3):
    ``fecam-official``. Its scripts for frozen transformers (FeCAM_vit_cifar100.py) shrink once with (1, 0) and compare
    with means that are not normalised again: ``fecam-official-vit``. Both were made for classes of hundreds of images;
    of one image they have no covariance, here it is then the identity, and of two they can lose ten points to it. The
    official code takes a pseudo-inverse, which is the inverse of these covariances.

    Attributes
    ----------
    gamma1, gamma2 : float
        g1 and g2; with g2 above g1 what is shrunk need be no covariance any more, so that is refused.
    unit_means : bool
        Whether class means are given unit norm before the distance.
    """

    gamma1: Annotated[float, Ge(0)] = 100.0
    gamma2: Annotated[float, Ge(0)] = 0.0
    unit_means: bool = True

    def __post_init__(self) -> None:
        """Refuse what would give a class a distance below zero."""
        if self.gamma2 > self.gamma1:
            raise BenchError(
                f"fecam.gamma2={self.gamma2:g} is above gamma1={self.gamma1:g}, which makes no covariance; lower it"
            )

    def build(self, task: Task, *, rng: Stream) -> Ellipsoids:
        """Return the state of one task."""
        return self._of(self._scatter(task), None)

    def extend(self, state: Ellipsoids, task: Task, *, rng: Stream) -> Ellipsoids:
        """Return the state with the images of a further session; metrics of untouched classes are kept."""
        new = self._scatter(task)
        old = len(state.metrics)
        touched = new.counts.tolist()
        known = [None if touched[c] else metric for c, metric in enumerate(state.metrics)]
        return self._of(state.scatter.plus(new), [*known, *([None] * (task.n_classes - old))])

    def _scatter(self, task: Task) -> Scatter:
        items = task.labelled
        return Scatter.by_class(items.x, task.columns(items.labels), task.n_classes, embed=normalise)

    def _of(self, scatter: Scatter, known: list[Metric | None] | None) -> Ellipsoids:
        scatter = scatter.reduced()
        metrics = list(known or [None] * len(scatter.counts))
        rows, counts = rows_of_classes(scatter.columns, len(metrics)), scatter.counts.tolist()

        def low(c: int) -> Tensor:
            root: float = max(1, counts[c] - 1) ** 0.5
            return scatter.factor[rows[c]] / root

        anew = [c for c, metric in enumerate(metrics) if not metric]
        # One after the other, for together they are as large as the state.
        traces = [low(c).square_().sum() for c in anew]
        # Read back together, so that a device is waited for once and not once a class.
        spreads = torch.stack(traces).tolist() if traces else []
        for c, trace, spread in zip(anew, traces, spreads, strict=True):
            metrics[c] = self._metric(low(c), trace) if spread > 1e-12 else None
        return Ellipsoids(scatter, tuple(metrics))

    def _metric(self, low: Tensor, trace: Tensor) -> Metric:
        """Return the metric of a class with spread, of L'L = its covariance, low [r, d], and that one's trace []."""
        d = low.shape[1]
        ones = low.new_ones(1, d)
        # The sum of all entries of L'L is |L 1|^2.
        off = (low.sum(1).square().sum() - trace) / max(1, d * (d - 1))
        shift = self.gamma2 * off
        ridge = self.gamma1 * trace / d - shift
        low = torch.cat([low, shift.abs().sqrt() * ones])
        sign = torch.cat([low.new_ones(len(low) - 1), torch.where(shift < 0, -1.0, 1.0).to(low).reshape(1)])
        ridge = ridge.clamp(min=1e-12)
        deviations = (ridge + (sign.unsqueeze(1) * low * low).sum(0)).clamp(min=1e-12).sqrt()
        # Not checked class by class: what had no inverse gives scores that are no numbers, and those are refused.
        inner = torch.linalg.inv_ex(torch.diag(ridge * sign) + low @ low.T).inverse
        return Metric(deviations.float(), ridge.float(), low.float(), inner.float())

    def score(self, state: Ellipsoids, queries: Tensor) -> Tensor:
        """Return negative squared distances [q, c]; a class without images gets minus infinity."""
        x, means = normalise(queries), state.scatter.means.float()
        means = normalise(means) if self.unit_means else means
        scores = x.new_empty(len(x), len(means))
        for c, metric in enumerate(state.metrics):
            gap = x - means[c]
            if metric is None:
                scores[:, c] = -gap.square().sum(1)
                continue
            gap = gap * metric.deviations
            low = gap @ metric.low.T
            scores[:, c] = ((low @ metric.inner * low).sum(1) - gap.square().sum(1)) / metric.ridge
        return scores.masked_fill(state.scatter.counts == 0, -torch.inf)
