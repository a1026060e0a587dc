"""Mahalanobis distance with a covariance for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

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
    adapted="no Tukey transform, as the paper does for transformers, whose features are not all positive; g1 = 100 and "
    "g2 = 0, since g1 = g2 = 1 (fecam-many-shot) leaves the noise of a few images a class; a class without spread "
    "(one image) has the identity for its covariance",
    needs=("images",),
    variants={
        "fecam-many-shot": {"gamma1": 1.0, "gamma2": 1.0},
        "fecam-constant": {"shrinkage": "constant"},
    },
)
@dataclass(frozen=True, kw_only=True)
class FeCAM:
    """Nearest class by Mahalanobis distance, with a shrunk, correlation-normalised covariance for each class.

    V1 and V2 are the mean diagonal and off-diagonal entry of the class's covariance; N divides by standard
    deviations. Features and means are given unit norm before the distance.

    The paper's code sets g1 = g2 = 1 for classes of hundreds of images. The defaults here were chosen for few images,
    once and for all, and no query took part: of g1 in {1, 10, 100, 1000} with g2 in {0, 1} or g2 = g1 (1000 with 0
    alone), the pair with the largest mean accuracy on held-out labelled images (``hold_out`` of up to 4 a class, from
    4, 8 and 16 a class) of Oxford Flowers and Oxford Pets (the 16-shot split) and DTD (validation split) in CLIP
    ViT-B/32 features: 68.0 %; 61.1 % with g1 = g2 = 1, 67.2 % with ``constant``. g2 = 1 ties and the smaller is taken.

    Attributes
    ----------
    gamma1, gamma2 : float
        g1 and g2; with g2 above g1 what is shrunk need be no covariance any more, so that is refused.
    shrinkage : str
        ``relative`` is the paper's rule above; ``constant`` adds ``constant`` I instead, as public code does, which
        for unit-norm features leaves next to nothing of the covariance.
    """

    shrinkage: Literal["relative", "constant"] = "relative"
    gamma1: Annotated[float, Ge(0)] = 100.0
    gamma2: Annotated[float, Ge(0)] = 0.0
    constant: Annotated[float, Ge(0)] = 100.0

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
        return Scatter.of(normalise(items.x), task.columns(items.labels), task.n_classes)

    def _of(self, scatter: Scatter, known: list[Metric | None] | None) -> Ellipsoids:
        scatter = scatter.reduced()
        metrics = list(known or [None] * len(scatter.counts))
        rows, counts = rows_of_classes(scatter.columns, len(metrics)), scatter.counts.tolist()
        lows = {
            c: scatter.factor[rows[c]] / max(1, counts[c] - 1) ** 0.5 for c, metric in enumerate(metrics) if not metric
        }
        traces = [(low * low).sum() for low in lows.values()]
        # Read back together, so that a device is waited for once and not once a class.
        spreads = torch.stack(traces).tolist() if traces else []
        for (c, low), trace, spread in zip(lows.items(), traces, spreads, strict=True):
            metrics[c] = self._metric(low, trace) if spread > 1e-12 else None
        return Ellipsoids(scatter, tuple(metrics))

    def _metric(self, low: Tensor, trace: Tensor) -> Metric:
        """Return the metric of a class with spread, of L'L = its covariance, low [r, d], and that one's trace []."""
        d = low.shape[1]
        ones = low.new_ones(1, d)
        if self.shrinkage == "constant":
            sign, ridge = low.new_ones(len(low)), low.new_full((), self.constant)
        else:
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
        x, means = normalise(queries), normalise(state.scatter.means)
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
