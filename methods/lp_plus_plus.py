"""LP++: a linear probe that starts at class sums, and a learnt weight of the text of each class."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.cost.meter import Repeats
from bench.functional.classwise import class_counts, class_sums, normalise
from bench.functional.logistic_regression import Linear
from bench.learning.choosing import told_of_choice
from bench.learning.class_texts import prompt_matrix
from bench.utils.random import Stream

_EVERY = 10
"""Epochs between two steps of alpha."""
_MOMENTUM = 0.9
_START = 250.0


@dataclass(frozen=True, eq=False)
class Blended:
    """The probe, the class texts, their weights alpha [c], and the epoch that was kept."""

    linear: Linear
    texts: Tensor = field(metadata=STATISTICS)
    alpha: Tensor = field(metadata=WEIGHTS)
    epoch: int
    chosen_on: int


@method(
    "lp++",
    paper="Huang et al., LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP, CVPR 2024, arXiv:2404.02285",
    equation="logits = x w_c + b_c + alpha_c x t_c",
    adapted="without a validation split (--selection validation-split), which the code has, the last epoch is kept; an "
    "image is one feature, where the code draws a new view",
    needs=("images", "prompts"),
    selection="support-heldout",
)
@dataclass(frozen=True, kw_only=True)
class LPPlusPlus:
    """Full-batch gradient descent with step sizes that follow from the data, so that none is searched.

    As the official code has it (FereshteShakeri/FewShot-CLIP-Strong-Baseline, commit f81054f,
    methods/linear_probe_p2.py): no CLIP scale; w starts at the class sums of unit features and b uniform in
    +-1 / sqrt(d); every alpha_c starts at 250 times the mean over classes of the mean cosine of an image to its own
    text. w and b: SGD with momentum 0.9 and rate 4 n / (largest eigenvalue of S'S). alpha: rate n / (4 max_c sum_i
    (x_i t_c)^2), every tenth epoch, by the gradient *summed* since the start, since nothing resets it there. With a
    validation split the epoch with the most right answers on it is kept, the later of equal ones.
    """

    epochs: Annotated[int, Ge(1)] = 300

    def build(self, task: Task, *, rng: Stream) -> Blended:
        """Return the trained probe."""
        items, texts = task.labelled, prompt_matrix(task)
        assert texts is not None
        x, columns = normalise(items.x), task.columns(items.labels)
        c, d = texts.shape
        weights = class_sums(x, columns, c).float()
        bound = 1 / math.sqrt(d)
        biases = torch.empty(c).uniform_(-bound, bound, generator=rng.child("biases").torch()).to(x.device)
        cosines = x @ texts.T
        counts = class_counts(columns, c)
        own = class_sums(cosines.gather(1, columns.unsqueeze(1)), columns, c).squeeze(1) / counts.clamp(min=1)
        alpha = (_START * own.mean()).float().expand(c).clone()
        if not len(x):
            return Blended(Linear(weights, biases), texts, alpha, 0, 0)
        rate = 4 * len(x) / torch.linalg.eigvalsh(_gram(x.double()))[-1].float()
        alpha_rate = len(x) / (4 * (cosines**2).sum(0).max())
        target = F.one_hot(columns, c).float()
        split = task.choose_on if task.choose_on is not None and len(task.choose_on) else None
        checked = None if split is None else (normalise(split.x), task.columns(split.labels))
        best, most = (weights, biases, alpha), torch.full((), -1, device=x.device)
        kept = torch.zeros((), dtype=torch.int64, device=x.device)
        speed_w, speed_b, slope = torch.zeros_like(weights), torch.zeros_like(biases), torch.zeros_like(alpha)
        repeats = Repeats()
        for epoch in range(1, self.epochs + 1):
            with repeats.like((epoch % _EVERY == 0, checked is not None)):
                gap = ((x @ weights.T + biases + alpha * cosines).softmax(1) - target) / len(x)
                speed_w = _MOMENTUM * speed_w + gap.T @ x
                speed_b = _MOMENTUM * speed_b + gap.sum(0)
                weights, biases = weights - rate * speed_w, biases - rate * speed_b
                slope = slope + (gap * cosines).sum(0)
                if epoch % _EVERY == 0:
                    alpha = alpha - alpha_rate * slope
                if checked is not None:
                    logits = checked[0] @ weights.T + biases + alpha * (checked[0] @ texts.T)
                    right = (logits.argmax(1) == checked[1]).sum()
                    better = right >= most
                    best = (
                        torch.where(better, weights, best[0]),
                        torch.where(better, biases, best[1]),
                        torch.where(better, alpha, best[2]),
                    )
                    kept = torch.where(better, epoch, kept)
                    most = torch.maximum(right, most)
        if checked is None:
            return Blended(Linear(weights, biases), texts, alpha, self.epochs, 0)
        return Blended(Linear(best[0], best[1]), texts, best[2], int(kept), len(checked[0]))

    def score(self, state: Blended, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        x = normalise(queries)
        return state.linear(x) + state.alpha * (x @ state.texts.T)

    def describe(self, state: Blended) -> dict[str, Any]:
        """Return which epoch was kept, on how many images it was chosen, and the mean weight of the texts."""
        tried = self.epochs if state.chosen_on else 1
        told = told_of_choice(state.chosen_on, tried, wanted=True, why="the run gives no validation split")
        return {"epoch": state.epoch, "alpha": float(state.alpha.mean()), **told}


def _gram(x: Tensor) -> Tensor:
    """Return the smaller of x'x and x x', which have the same largest eigenvalue."""
    return x.T @ x if len(x) > x.shape[1] else x @ x.T
