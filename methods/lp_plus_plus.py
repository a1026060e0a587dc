"""LP++: a linear probe that starts at class sums, and a learnt weight of the text of each class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.cost.meter import Repeats
from bench.functional.classwise import class_counts, class_sums, normalise, unit_rows
from bench.functional.logistic_regression import Linear
from bench.functional.stored_rows import ManyRows, blocks_of
from bench.functional.symmetric import add_gram, mirror
from bench.learning.choosing import told_of_choice
from bench.learning.class_texts import prompt_matrix
from bench.utils.random import Stream

_EVERY = 10
"""Epochs between two steps of alpha."""
_MOMENTUM = 0.9
_START = 250.0
_LOGITS = 1 << 24
"""Logits, or numbers of images, of a block: 64 MiB, and three such blocks live at once."""


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
        x, columns = unit_rows(items.x), task.columns(items.labels)
        c, d = texts.shape
        weights = class_sums(x, columns, c).float()
        images = _Images(x, columns, texts)
        bound = 1 / math.sqrt(d)
        biases = torch.empty(c).uniform_(-bound, bound, generator=rng.child("biases").torch()).to(x.device)
        counts = class_counts(columns, c)
        own = class_sums(images.own_cosines(), columns, c).squeeze(1) / counts.clamp(min=1)
        alpha = (_START * own.mean()).float().expand(c).clone()
        if not len(x):
            return Blended(Linear(weights, biases), texts, alpha, 0, 0)
        rate = 4 * len(x) / torch.linalg.eigvalsh(_gram(x))[-1].float()
        alpha_rate = len(x) / (4 * images.squared_cosines().max())
        split = task.choose_on if task.choose_on is not None and len(task.choose_on) else None
        checked = None if split is None else (normalise(split.x), task.columns(split.labels))
        best, most = (weights, biases, alpha), torch.full((), -1, device=x.device)
        kept = torch.zeros((), dtype=torch.int64, device=x.device)
        speed_w, speed_b, slope = torch.zeros_like(weights), torch.zeros_like(biases), torch.zeros_like(alpha)
        repeats = Repeats()
        for epoch in range(1, self.epochs + 1):
            with repeats.like((epoch % _EVERY == 0, checked is not None)):
                by_weights, by_biases, by_alpha = images.slopes(weights, biases, alpha)
                speed_w = _MOMENTUM * speed_w + by_weights
                speed_b = _MOMENTUM * speed_b + by_biases
                weights, biases = weights - rate * speed_w, biases - rate * speed_b
                slope = slope + by_alpha
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


@dataclass(frozen=True, eq=False)
class _Images:
    """Labelled images [n, d], their columns [n] and the class texts [c, d], gone through a block at a time.

    Where all logits are one block, the cosines with the texts are held; else they are made in each epoch anew.
    """

    x: ManyRows
    columns: Tensor
    texts: Tensor

    @cached_property
    def _held(self) -> list[tuple[slice, Tensor, Tensor]] | None:
        return list(self._made()) if len(self.x) * max(self.texts.shape) <= _LOGITS else None

    def _made(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        step = max(1, _LOGITS // max(self.texts.shape))
        for start in range(0, len(self.x), step):
            here = slice(start, start + step)
            rows = self.x[here]
            yield here, rows, rows @ self.texts.T

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield which images a block holds, the images [b, d] and their cosines with the texts [b, c]."""
        return self._made() if self._held is None else iter(self._held)

    def own_cosines(self) -> Tensor:
        """Return the cosine of each image with its own text, [n, 1]."""
        parts = [cosines.gather(1, self.columns[here].unsqueeze(1)) for here, _, cosines in self.blocks()]
        return torch.cat(parts) if parts else self.texts.new_zeros(0, 1)

    def squared_cosines(self) -> Tensor:
        """Return the squared cosines of each text with all images, summed, [c]."""
        return torch.stack([(cosines**2).sum(0) for _, _, cosines in self.blocks()]).sum(0)

    def slopes(self, weights: Tensor, biases: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the mean loss by weights [c, d], biases [c] and alpha [c]."""
        found = torch.zeros_like(weights), torch.zeros_like(biases), torch.zeros_like(alpha)
        for here, rows, cosines in self.blocks():
            gap = (rows @ weights.T + biases + alpha * cosines).softmax(1)
            gap.scatter_add_(1, self.columns[here].unsqueeze(1), gap.new_full((len(gap), 1), -1.0)).div_(len(self.x))
            found[0].addmm_(gap.T, rows)
            found[1].add_(gap.sum(0))
            found[2].add_((gap * cosines).sum(0))
        return found


def _gram(x: ManyRows) -> Tensor:
    """Return the smaller of x'x and x x', which have the same largest eigenvalue, in float64."""
    n, d = x.shape
    if n <= d:
        wide = x[:].double()
        return wide @ wide.T
    gram = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    for _, rows in blocks_of(x):
        add_gram(gram, rows)
    return mirror(gram)
