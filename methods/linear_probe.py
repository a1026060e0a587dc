"""Logistic regression on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import method
from bench.core.task import Task
from bench.functional.classwise import normalise, unit_rows
from bench.functional.logistic_regression import Linear, LogisticRegression
from bench.functional.stored_rows import ManyRows, only
from bench.learning.choosing import told_of_choice
from bench.utils.random import Stream

_GRID = (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)
_BISECTIONS = 4
_PRECISE = 1e-12
"""The tolerance of the fit that is kept, at which scores differ from scikit-learn's by a few 1e-5 of the largest, on
one image of each of 196 cars at C = 10,000 too; those of the search are fitted less closely."""


@dataclass(frozen=True, eq=False)
class Probe:
    """The fitted classifier, the C it was fitted with, on how many images and among how many that was chosen.

    ``weighed`` says that each class counted alike, however many images it has.
    """

    linear: Linear
    c: float
    held_out: int
    weighed: bool
    tried: int = 1


@method(
    "linear-probe",
    paper="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, "
    "arXiv:2103.00020, section 3.2; the sweep: Zhou et al., Learning to Prompt for Vision-Language Models, "
    "IJCV 2022, arXiv:2109.01134",
    equation="min over W, b of C sum CE(W x + b, y) + |W|^2 / 2",
    adapted="C is chosen by the loss of held-out images, where CoOp counts the right ones; these are taken from the "
    "support, where CoOp has them beside it; after the sweep the classifier is fitted again on all of the support; "
    "where a class has one image, C is stated and all classes count alike",
    needs=("images",),
    selection="support-heldout",
)
@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """L-BFGS logistic regression on unit-norm features, C chosen by the loss of held-out support.

    ``min(held_out, n // 2)`` of the n images of each class are held out, unless the run gives others to choose on
    (``--selection validation-split``). C runs up seven powers of 100, from 1e-6 to
    1e6, until the loss has risen twice, then through four bisections of the interval of a factor ten around the best;
    ties go to the larger C. By the count of right images, as CoOp chooses, most of the grid ties where classes are
    few, and the smallest C, which CoOp's order of the grid never takes, would be the worst. Where some class cannot
    spare an image there is nothing to choose on for all classes: C is ``default_c``, and the loss of an image counts
    by n / (c n_y), as scikit-learn's ``class_weight="balanced"`` has it, which changes nothing if all have as many.

    Weights start at zero. The fit that is kept is in float64, and those of the search are where C n is below 33, for
    float32 cannot tell one from the next there; others are in float32, with sums in float64.

    Attributes
    ----------
    c : float or None
        None chooses.
    default_c : float
        What is taken where nothing can be chosen.
    """

    c: Annotated[float, Gt(0)] | None = None
    default_c: Annotated[float, Gt(0)] = 10.0
    held_out: Annotated[int, Ge(1)] = 4
    max_iterations: Annotated[int, Ge(1)] = 1000

    def build(self, task: Task, *, rng: Stream) -> Probe:
        """Return the classifier; see the class."""
        items = task.labelled
        x, every = unit_rows(items.x), task.columns(items.labels)
        # A class without images takes no part: nothing would keep its bias from minus infinity.
        shown, columns, counts = every.unique(return_inverse=True, return_counts=True)
        if not len(shown):
            nothing = Linear(torch.zeros(0, task.dimension, device=x.device), torch.zeros(0, device=x.device))
            return Probe(_among(nothing, shown, task.n_classes), self.c or self.default_c, 0, weighed=False)
        c, held, tried, start, weights = self.c, 0, 1, None, None
        split = None if task.choose_on is None else task.choose_on.of_classes([task.classes[c] for c in shown.tolist()])
        if c is None and split is not None and len(split):
            wanted = torch.searchsorted(shown, task.columns(split.labels))
            held = len(split)
            c, start, tried = self._choose(x, columns, normalise(split.x), wanted, len(shown))
        elif c is None and int(counts.min()) > 1:
            test = self._hold_out(every, rng)
            held = int(test.sum())
            c, start, tried = self._choose(only(x, ~test), columns[~test], x[test], columns[test], len(shown))
        elif c is None:
            c, weights = self.default_c, len(columns) / (len(shown) * counts[columns].double())
        regression = LogisticRegression(
            x, columns, len(shown), weights=weights, max_iterations=self.max_iterations, tolerance=_PRECISE
        )
        fitted = _among(regression.fit(c, start=start), shown, task.n_classes)
        return Probe(fitted, c, held, weights is not None, tried)

    def _hold_out(self, columns: Tensor, rng: Stream) -> Tensor:
        """Return a mask of the images to choose on, at most ``held_out`` and at most half of each class."""
        mask, here = torch.zeros(len(columns), dtype=torch.bool), columns.cpu()
        for column in here.unique().tolist():
            rows = (here == column).nonzero().squeeze(1)
            order = torch.from_numpy(rng.child("held-out", column).permutation(len(rows)))
            mask[rows[order[: min(self.held_out, len(rows) // 2)]]] = True
        return mask.to(columns.device)

    def _choose(
        self, x: ManyRows, columns: Tensor, held: Tensor, wanted: Tensor, n_classes: int
    ) -> tuple[float, Linear, int]:
        """Return C, the classifier at that C, from which the last fit starts, and how many values were tried."""
        regression = LogisticRegression(x, columns, n_classes, max_iterations=self.max_iterations)
        tried = set()

        def loss(c: float) -> float:
            tried.add(c)
            return float(F.cross_entropy(regression.fit(c)(held).double(), wanted))

        best, least = _GRID[0], loss(_GRID[0])
        risen = 0
        for c in _GRID[1:]:
            now = loss(c)
            risen = risen + 1 if now > least else 0
            best, least = (best, least) if now > least else (c, now)
            if risen == 2:
                break
        low, high = best / 10, best * 10
        at_low, at_high = loss(low), loss(high)
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            if at_low > at_high:
                low, at_low = middle, loss(middle)
            else:
                high, at_high = middle, loss(middle)
        c = low if at_low < at_high else high
        return c, regression.fit(c), len(tried)

    def score(self, state: Probe, queries: Tensor) -> Tensor:
        """Return logits [q, c]; a class without images gets minus infinity."""
        return state.linear(normalise(queries))

    def describe(self, state: Probe) -> dict[str, Any]:
        """Return C, on how many held-out images it was chosen, and whether all classes counted alike."""
        weights = "balanced" if state.weighed else "none"
        told = told_of_choice(state.held_out, state.tried, wanted=self.c is None, why="a class has one labelled image")
        return {"c": state.c, **told, "class_weights": weights}


def _among(fitted: Linear, shown: Tensor, n_classes: int) -> Linear:
    """Return the classifier of some columns as one of all, with a bias of minus infinity for the others."""
    weights = fitted.weights.new_zeros(n_classes, fitted.weights.shape[1])
    biases = fitted.biases.new_full((n_classes,), -torch.inf)
    weights[shown], biases[shown] = fitted.weights, fitted.biases
    return Linear(weights, biases)
