"""Gaussian discriminant analysis beside zero-shot classification."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Items
from bench.core.protocols import Part
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.functional.gaussian import Moments, discriminant, solve
from bench.functional.logistic_regression import Linear
from bench.learning.choosing import told_of_choice
from bench.learning.class_texts import LOGIT_SCALE, lacking_class_texts, prompt_matrix
from bench.learning.holdout import hold_out
from bench.learning.unlearning import named
from bench.utils.random import Stream

_GRID = tuple(10.0**power for power in range(-4, 3))


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Moments, their discriminant, the class texts if every class has one, and the alpha that weighs them.

    ``session`` is the one whose images alpha was chosen on, ``held_out`` how many there were, ``tried`` among how many
    values.
    """

    moments: Moments
    linear: Linear
    texts: Tensor | None = field(metadata=STATISTICS)
    alpha: float
    held_out: int
    session: int
    tried: int = 1


@method(
    "gda",
    paper="Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, ICLR 2024, arXiv:2402.04087",
    equation="P = d pinv((n - 1) S + tr(S) I); w_c = P mu_c; b_c = -log C - mu_c' P mu_c / 2; "
    "logits = 100 x W + alpha (x w + b)",
    adapted="alpha is chosen on held-out support unless the run gives a validation split, as the code has; an image is "
    "one feature, where the code has ten augmented views of it; so one image a class has no covariance here, and P is "
    "then the identity; where a class has no text the zero-shot term is left out for all",
    needs=("images",),
    selection="support-heldout",
)
@dataclass(frozen=True, kw_only=True)
class GDA:
    """Gaussian classes with one shrunk covariance, added to the zero-shot logits.

    Features have unit norm, means are not normalised again. Sums are in float64, and P is solved for by Cholesky, where
    the official code (mrflogs/ICLR24, commit 560fe21, main_few_shots.py) takes a pseudo-inverse in half or single
    precision. S is by n - 1, as ``torch.cov`` has it. Nothing is drawn, and only alpha is chosen.

    Attributes
    ----------
    alpha : float or None
        None chooses among the code's seven powers of ten, 1e-4 to 100, by the most right answers on
        the images the run gives (``--selection validation-split``), or ``min(held_out, n // 2)`` of each class of the
        present session; ties go to the smallest. Where there is
        nothing to choose on it is ``default_alpha``, where the code's search starts.
    """

    alpha: Annotated[float, Ge(0)] | None = None
    default_alpha: Annotated[float, Ge(0)] = 0.1
    held_out: Annotated[int, Ge(1)] = 4

    def build(self, task: Task, *, rng: Stream) -> Gaussian:
        """Return the state of one task."""
        return self._of(_moments(task, task.labelled, task.n_classes), task, task.labelled)

    def extend(self, state: Gaussian, task: Task, *, rng: Stream) -> Gaussian:
        """Return the state with a further session; alpha is chosen again on that session's images."""
        moments = state.moments.plus(_moments(task, task.labelled, task.n_classes))
        return self._of(moments, task, task.labelled)

    def forget(self, state: Gaussian, task: Task, ids: Collection[str]) -> Gaussian:
        """Return the state without the named images; alpha is chosen again unless the task is of an earlier session."""
        gone = named(task.labelled, task, ids)
        moments = state.moments.minus(_moments(task, task.labelled.take(gone), len(state.moments.counts)))
        if task.session < state.session:
            return Gaussian(moments, _linear(moments), state.texts, state.alpha, state.held_out, state.session)
        return self._of(moments, task, task.labelled.take(~gone))

    def _of(self, moments: Moments, task: Task, present: Items) -> Gaussian:
        texts = prompt_matrix(task)
        alpha, held = self._choose(moments, texts, task, present)
        return Gaussian(moments, _linear(moments), texts, alpha, held, task.session, len(_GRID) if held else 1)

    def _choose(self, moments: Moments, texts: Tensor | None, task: Task, present: Items) -> tuple[float, int]:
        if texts is None:
            return 1.0, 0
        if self.alpha is not None:
            return self.alpha, 0
        held: Items | Features | None = task.choose_on
        if held is None or not len(held):
            test = hold_out(task.columns(present.labels), present.ids, limit=self.held_out)
            if not bool(test.any()):
                return self.default_alpha, 0
            held = out = present.take(test)
            moments = moments.minus(_moments(task, out, task.n_classes))
        x, target = normalise(held.x), task.columns(held.labels)
        gaussian = _linear(moments)(x.double())
        zero_shot = LOGIT_SCALE * x @ texts.T
        hits = [((zero_shot + alpha * gaussian).argmax(1) == target).sum() for alpha in _GRID]
        right = torch.stack(hits).tolist()
        return _GRID[right.index(max(right))], len(held)

    def score(self, state: Gaussian, queries: Tensor) -> Tensor:
        """Return logits, float64 [q, c]; a class without images gets minus infinity."""
        x = normalise(queries)
        scores = state.alpha * state.linear(x.double())
        if state.texts is not None:
            scores = scores + LOGIT_SCALE * x @ state.texts.T
        return scores.masked_fill(state.moments.counts == 0, -torch.inf)

    def runs_without(self, task: Task) -> tuple[Part, ...]:
        """Return that class texts are missing, without which the zero-shot term is left out."""
        return lacking_class_texts(task)

    def describe(self, state: Gaussian) -> dict[str, Any]:
        """Return alpha, on how many images it was chosen, and whether the zero-shot term was there."""
        with_texts = state.texts is not None
        told = told_of_choice(state.held_out, state.tried, wanted=self.alpha is None and with_texts)
        return {"alpha": state.alpha, **told, "zero_shot_term": with_texts}


def _moments(task: Task, items: Items, n_classes: int) -> Moments:
    return Moments.of(items.x, task.columns(items.labels), n_classes, embed=normalise)


def _linear(moments: Moments) -> Linear:
    """Return w and b of the equation above."""
    scatter, means = moments.scatter(), moments.means()
    d, c = len(scatter), len(means)
    trace = scatter.trace() / max(1, moments.n - 1)
    eye = torch.eye(d, dtype=scatter.dtype, device=scatter.device)
    # Deviations below rounding are none: moments of one image a class leave about 1e-16 n.
    flat = float(trace) <= 1e-12
    found = discriminant(means, means if flat else d * solve(scatter + trace * eye, means))
    return Linear(found.weights, found.biases - math.log(c))
