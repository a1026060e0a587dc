"""REAL-Linear: a linear probe on retrieved images and class texts, averaged with the texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.classwise import class_counts, normalise, unit_rows
from bench.functional.stored_rows import blocks_of, only
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.text_batches import with_a_text_each
from bench.learning.training import LAST_EPOCH, WarmUp, as_parameter, epochs_of, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Averaged:
    """The classifier [c, d], and how many items it was trained on."""

    weights: Tensor = field(metadata=WEIGHTS)
    counts: Tensor = field(metadata=STATISTICS)


@method(
    "real-linear",
    paper="Parashar et al., The Neglected Tails in Vision-Language Models, CVPR 2024, arXiv:2401.12425",
    equation="W: min CE(100 z W', y) over items and texts z, from T; answer 100 x (0.5 W + 0.5 T)'",
    adapted="items are ranked by their own cosine to the class text, where the code ranks by that of their captions, "
    "which memories do not hold; a class has one text, the mean of its templates, of its given name, where the code "
    "takes every template of the most frequent synonym; steps are whole epochs over the items, and an item has the "
    "same text beside it in all",
    needs=("images", "prompts"),
)
@dataclass(frozen=True, kw_only=True)
class RealLinear:
    """Train a head without biases from the class texts on retrieved items, and take the mean of both.

    Settings are the official code's (shubhamprshr27/NeglectedTailsVLM): of each class the ``per_class`` items with the
    largest cosine to the class text, none below 0; batches of 32 items and 32 texts; AdamW with rate 1e-4 and decay
    0.01, a cosine after 50 steps that rise from 1e-5; min(32000, 10 n C / 32) steps for n items a class at most. The
    mean is not normalised. Nothing is chosen.
    """

    per_class: Annotated[int, Ge(1)] = 500
    share: Annotated[float, Ge(0), Le(1)] = 0.5
    lr: Annotated[float, Gt(0)] = 1e-4
    weight_decay: Annotated[float, Ge(0)] = 0.01
    steps: Annotated[int, Ge(1)] = 32000
    passes: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 32
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Averaged:
        """Return the classifier."""
        items, texts = task.image_memory, prompt_matrix(task)
        assert texts is not None
        x, columns = unit_rows(items.x), task.columns(items.labels)
        cosines = [(rows * texts[columns[here]]).sum(1) for here, rows in blocks_of(x)]
        own = torch.cat(cosines) if cosines else texts.new_zeros(0)
        kept = best_of_class(own, columns, self.per_class, len(texts))
        x, columns = only(x, kept), columns[kept]
        weights = as_parameter(texts)
        steps = min(self.steps, max(1, self.passes * len(x) // self.batch))
        fit(
            [weights],
            with_a_text_each(weights, x, columns, texts, rng=rng),
            len(x),
            owner="real-linear",
            optimiser=torch.optim.AdamW([weights], lr=self.lr, weight_decay=self.weight_decay),
            epochs=epochs_of(steps, len(x), self.batch),
            batch=self.batch,
            cosine=True,
            warm_up=WarmUp(min(50, steps // 2)),
            rng=rng.child("fit"),
            options=self.training_options,
        )
        mean = self.share * weights.detach() + (1 - self.share) * texts
        return Averaged(mean, class_counts(columns, len(texts)))

    def score(self, state: Averaged, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return LOGIT_SCALE * normalise(queries) @ state.weights.T

    def describe(self, state: Averaged) -> dict[str, Any]:
        """Return how many items were kept, in all and of the poorest class."""
        kept = {"items_kept": int(state.counts.sum()), "fewest_of_a_class": int(state.counts.min())}
        return {**kept, **LAST_EPOCH}


def best_of_class(cosines: Tensor, columns: Tensor, count: int, n_classes: int) -> Tensor:
    """Return which items are among the ``count`` of their class with the largest cosine, and not below 0; bool [m]."""
    by_cosine = torch.sort(cosines, descending=True, stable=True).indices
    order = by_cosine[torch.argsort(columns[by_cosine], stable=True)]
    counts = class_counts(columns, n_classes)
    starts = counts.cumsum(0) - counts
    ranks = torch.empty_like(columns)
    ranks[order] = torch.arange(len(columns), device=columns.device) - starts[columns[order]]
    return (ranks < count) & (cosines >= 0)
