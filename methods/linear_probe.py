"""Logistic regression on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.algebra import normalise
from bench.logistic import Linear, LogisticRegression
from bench.registry import method
from bench.streams import Stream
from bench.task import Task

_GRID = (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)
_BISECTIONS = 8


@dataclass(frozen=True, eq=False)
class Probe:
    """The fitted classifier and the C it was fitted with."""

    linear: Linear
    c: float
    held_out: int


@method(
    "linear-probe",
    paper="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, "
    "arXiv:2103.00020, section 3.2; the sweep: Zhou et al., Learning to Prompt for Vision-Language Models, "
    "IJCV 2022, arXiv:2109.01134",
    equation="min over W, b of C sum CE(W x + b, y) + |W|^2 / 2",
    adapted="the images to choose on are taken from the support, where CoOp has them beside it; after the sweep the "
    "classifier is fitted again on all of the support",
    needs=("images",),
    selection="support-heldout",
)
@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """L-BFGS logistic regression on unit-norm features, C chosen on held-out support.

    ``min(held_out, n // 2)`` of the n images of each class are held out; C runs over seven powers of 100, then eight
    bisections of the interval of a factor ten around the best. Ties go to the smaller C. Where no class can spare an
    image there is nothing to choose on, and C is ``default_c``.
    """

    c: Annotated[float, Gt(0)] | None = None
    default_c: Annotated[float, Gt(0)] = 0.316
    held_out: Annotated[int, Ge(1)] = 4
    max_iterations: Annotated[int, Ge(1)] = 1000

    def build(self, task: Task, *, rng: Stream) -> Probe:
        """Return the classifier; see the class."""
        items = task.labelled
        x, every = normalise(items.x), task.columns(items.labels)
        # A class without images takes no part: nothing would keep its bias from minus infinity.
        shown, columns = every.unique(return_inverse=True)
        if not len(shown):
            nothing = Linear(x.new_zeros(0, task.dimension), x.new_zeros(0))
            return Probe(_among(nothing, shown, task.n_classes), self.c or self.default_c, 0)
        c, held, start = self.c, 0, None
        if c is None:
            test = self._hold_out(every, rng)
            held = int(test.sum())
            c, start = self._choose(x, columns, test, len(shown)) if held else (self.default_c, None)
        fitted = LogisticRegression(x, columns, len(shown), max_iterations=self.max_iterations).fit(c, start=start)
        return Probe(_among(fitted, shown, task.n_classes), c, held)

    def _hold_out(self, columns: Tensor, rng: Stream) -> Tensor:
        """Return a mask of the images to choose on, at most ``held_out`` and at most half of each class."""
        mask, here = torch.zeros(len(columns), dtype=torch.bool), columns.cpu()
        for column in here.unique().tolist():
            rows = (here == column).nonzero().squeeze(1)
            order = torch.from_numpy(rng.child("held-out", column).permutation(len(rows)))
            mask[rows[order[: min(self.held_out, len(rows) // 2)]]] = True
        return mask.to(columns.device)

    def _choose(self, x: Tensor, columns: Tensor, test: Tensor, n_classes: int) -> tuple[float, Linear]:
        """Return C, and the classifier of the other images at that C, from which the last fit starts."""
        regression = LogisticRegression(x[~test], columns[~test], n_classes, max_iterations=self.max_iterations)

        held, wanted = x[test], columns[test]

        def right(c: float) -> int:
            return int((regression.fit(c)(held).argmax(1) == wanted).sum())

        hits = [right(c) for c in _GRID]
        best = _GRID[hits.index(max(hits))]
        low, high = best / 10, best * 10
        at_low, at_high = right(low), right(high)
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            if at_low < at_high:
                low, at_low = middle, right(middle)
            else:
                high, at_high = middle, right(middle)
        c = low if at_low >= at_high else high
        return c, regression.fit(c)

    def score(self, state: Probe, queries: Tensor) -> Tensor:
        """Return logits [q, c]; a class without images gets minus infinity."""
        return state.linear(normalise(queries))

    def describe(self, state: Probe) -> dict[str, Any]:
        """Return the C that was chosen and on how many held-out images."""
        return {"c": state.c, "held_out": state.held_out}


def _among(fitted: Linear, shown: Tensor, n_classes: int) -> Linear:
    """Return the classifier of some columns as one of all, with a bias of minus infinity for the others."""
    weights = fitted.weights.new_zeros(n_classes, fitted.weights.shape[1])
    biases = fitted.biases.new_full((n_classes,), -torch.inf)
    weights[shown], biases[shown] = fitted.weights, fitted.biases
    return Linear(weights, biases)
