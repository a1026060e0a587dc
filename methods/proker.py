"""ProKeR: kernel ridge regression of what zero-shot classification gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.blocks import in_blocks
from bench.functional.classwise import normalise
from bench.functional.symmetric import WHOLE, solve_panels
from bench.learning.choosing import Held, canonical, first_best, held_images, steps, told_of_choice
from bench.learning.class_texts import prompt_matrix
from bench.utils.random import Stream
from bench.utils.room import require_room

_BY_SHOTS = ((1, 3.0, 0.05), (2, 2.6, 0.05), (4, 1.5, 0.05), (8, 1.66, 0.07), (16, 1.7, 0.1))
"""Shots, beta and lambda that the authors print for ImageNet."""

_NARROW = ((1.5, 3.0), (0.05, 0.25))
_WIDE = ((0.1, 10.0), (0.001, 10.0))


@dataclass(frozen=True, eq=False)
class Corrected:
    """Class texts and a correction for each image.

    Attributes
    ----------
    keys : Tensor [n, d]
        Unit norm.
    weights : Tensor [n, c]
        (K / lambda + I)^-1 (L - S T').
    """

    texts: Tensor = field(metadata=STATISTICS)
    keys: Tensor = field(metadata=MEMORY)
    weights: Tensor = field(metadata=WEIGHTS)
    beta: float
    penalty: float
    held_out: int = 0
    tried: int = 1


@method(
    "proker",
    paper="Bendou et al., ProKeR: A Kernel Perspective on Few-Shot Adaptation of Large Vision-Language Models, "
    "CVPR 2025, arXiv:2501.11175",
    equation="f = x T' + k(x, S) (K / lambda + I)^-1 (L - S T'); k = exp(-beta (1 - cos))",
    adapted="beta and lambda are chosen on held-out support unless the run gives a validation split, as the code has; "
    "an image is one row, where the code has one a view; steps of the search outside ImageNet are even, those of "
    "lambda on a logarithmic scale",
    needs=("images", "prompts"),
    selection="support-heldout",
    stores_items=True,
)
@dataclass(frozen=True, kw_only=True)
class ProKeR:
    """Add to the text cosines a kernel ridge regression of their residuals on the labelled images.

    As the official code has it (ybendou/ProKeR, and the same in omarnust/BReg-Adapter): texts are plain cosines,
    without CLIP's 100, and the correction is lambda times the ridge solution k(x, S) (K + lambda I)^-1 (L - S T'). The
    ridge solution itself is 15 points worse on ImageNet. The search takes ``grid_steps`` values of each, the first of
    the best: beta from 1.5 to 3 and lambda from 0.05 to 0.25 on ImageNet, 0.1 to 10 and 0.001 to 10 elsewhere. Where no
    image can be held out they are those printed for ImageNet at as many shots. Sums and solutions are in float64.

    Attributes
    ----------
    beta, penalty : float or None
        None chooses; ``penalty`` is lambda.
    held_out : int
        Images of a class that are chosen on, at most, and no more than half.
    grid_steps : int
        How many values of each are tried.
    """

    beta: Annotated[float, Gt(0)] | None = None
    penalty: Annotated[float, Gt(0)] | None = None
    held_out: Annotated[int, Ge(1)] = 1
    grid_steps: Annotated[int, Ge(1)] = 10

    def build(self, task: Task, *, rng: Stream) -> Corrected:
        """Return the class texts and the corrections."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        n, c = len(items), task.n_classes
        require_room(
            4 * n * n + 24 * n * c,
            what=f"proker's system of {n:,} x {n:,} equations",
            instead="give it fewer images, or take tip-adapter, which needs no system",
            device=task.device,
        )
        x, columns = normalise(items.x), task.columns(items.labels)
        beta, penalty = self._printed(len(x) / task.n_classes)
        held = (
            None
            if self.beta is not None and self.penalty is not None
            else held_images(task, items, limit=self.held_out)
        )
        tried = 1
        if held is not None:
            beta, penalty, tried = self._choose(task, x, columns, texts, held)
        made = _solved(x, columns, texts, beta, penalty)
        return made if held is None else replace(made, held_out=len(held.x), tried=tried)

    def _printed(self, shots: float) -> tuple[float, float]:
        """Return beta and lambda as set, or as printed for the nearest number of shots."""
        _, beta, penalty = min(_BY_SHOTS, key=lambda row: abs(row[0] - shots))
        return self.beta or beta, self.penalty or penalty

    def _choose(self, task: Task, x: Tensor, columns: Tensor, texts: Tensor, held: Held) -> tuple[float, float, int]:
        """Return the first best beta and lambda on held-out images, and how many pairs there are."""
        at_home = canonical(task.dataset) == "imagenet"
        (beta_range, range_) = _NARROW if at_home else _WIDE
        betas = [self.beta] if self.beta else _even(*beta_range, self.grid_steps)
        penalties = [self.penalty] if self.penalty else _spread(*range_, self.grid_steps, even=at_home)
        keys, own = x[held.rest], columns[held.rest]
        base, residuals = held.x @ texts.T, _residuals(keys, own, texts)
        asked, pairs = held.x @ keys.T, list(product(betas, penalties))
        cosines = keys @ keys.T if len(keys) <= WHOLE else None

        def hits() -> Iterator[Tensor]:
            for beta in betas:
                near = _kernel(asked, beta)
                kernel = None if cosines is None else _kernel(cosines, beta)
                for penalty in penalties:
                    # Single precision orders the settings; what is kept is solved in double.
                    if kernel is None:
                        weights = solve_panels(_panels(keys, beta, penalty), residuals)
                    else:
                        weights = torch.cholesky_solve(residuals, _factor(kernel / penalty))
                    yield ((base + near @ weights).argmax(1) == held.columns).sum()

        return *pairs[first_best(hits(), len(pairs))], len(pairs)

    def score(self, state: Corrected, queries: Tensor) -> Tensor:
        """Return corrected cosines [q, c]; a class without images keeps its text's."""

        def corrected(x: Tensor) -> Tensor:
            return x @ state.texts.T + _kernel(x @ state.keys.T, state.beta) @ state.weights

        return in_blocks(normalise(queries), len(state.keys), corrected)

    def describe(self, state: Corrected) -> dict[str, Any]:
        """Return beta and lambda, and on how many images they were chosen among how many pairs."""
        told = told_of_choice(state.held_out, state.tried, wanted=None in (self.beta, self.penalty))
        return {"beta": state.beta, "penalty": state.penalty, **told}


def _even(low: float, high: float, count: int) -> list[float]:
    return [*steps(low, high, count - 1), high] if count > 1 else [low]


def _spread(low: float, high: float, count: int, *, even: bool) -> list[float]:
    if even:
        return _even(low, high, count)
    return [low * (high / low) ** (i / max(1, count - 1)) for i in range(count)]


def _kernel(cosines: Tensor, beta: float) -> Tensor:
    return (beta * (cosines - 1)).exp()


def _factor(system: Tensor) -> Tensor:
    """Return the Cholesky factor of a matrix plus the identity, which is added in place."""
    system.diagonal().add_(1)
    factor: Tensor = torch.linalg.cholesky(system)
    return factor


def _panels(keys: Tensor, beta: float, penalty: float) -> Callable[[int, int], Tensor]:
    """Return what makes columns of K / lambda + I from the diagonal down, of which all are never held."""

    def panel(start: int, stop: int) -> Tensor:
        found = (keys[start:] @ keys[start:stop].T).sub_(1).mul_(beta).exp_().div_(penalty)
        found.diagonal().add_(1)
        return found

    return panel


def _residuals(x: Tensor, columns: Tensor, texts: Tensor) -> Tensor:
    found = (x @ texts.T).neg_()
    return found.scatter_add_(1, columns.unsqueeze(1), found.new_ones(len(x), 1))


def _solved(x: Tensor, columns: Tensor, texts: Tensor, beta: float, penalty: float) -> Corrected:
    wide, own = x.double(), texts.double()
    residuals = _residuals(wide, columns, own)
    if len(x) > WHOLE:
        weights = solve_panels(_panels(wide, beta, penalty), residuals)
    else:
        weights = torch.cholesky_solve(residuals, _factor(_kernel(wide @ wide.T, beta) / penalty))
    return Corrected(texts, x, weights.float(), beta, penalty)
