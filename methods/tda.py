"""TDA: caches of sure and of unsure queries, filled while the stream goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import normalise
from bench.learning.choosing import canonical
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.streaming import in_turn
from bench.utils.random import Stream

_SETTINGS = {
    "caltech101": (5.0, 5.0),
    "dtd": (2.0, 3.0),
    "eurosat": (4.0, 8.0),
    "fgvc_aircraft": (2.0, 2.0),
    "food101": (1.0, 1.0),
    "imagenet": (2.0, 5.0),
    "imagenet_a": (2.0, 5.0),
    "imagenet_r": (1.0, 8.0),
    "imagenet_s": (2.363, 7.45),
    "imagenet_v": (1.0, 8.0),
    "flowers102": (1.0, 5.0),
    "oxford_pets": (2.0, 7.0),
    "stanford_cars": (1.0, 7.0),
    "sun397": (2.0, 3.0),
    "ucf101": (3.0, 8.0),
}
"""alpha and beta of the positive cache: the files of kdiAAA/TDA's folder configs, at commit e697fb0."""


@dataclass(frozen=True, eq=False)
class Texts:
    """The unit-norm text vector of each class, [c, d], and alpha and beta of the positive cache."""

    vectors: Tensor = field(metadata=STATISTICS)
    alpha: float
    beta: float


@dataclass(eq=False)
class Cache:
    """Queries kept by the class that they were predicted as, written into while a stream goes on.

    Attributes
    ----------
    keys : Tensor [c, slots, d]
    entropies : Tensor [c, slots]
        Infinite where a slot is free.
    values : Tensor [c, slots, c] or None
        What each query says of every class; None where that is the class it was predicted as.
    """

    keys: Tensor
    entropies: Tensor
    values: Tensor | None = None

    @staticmethod
    def empty(texts: Tensor, slots: int, *, values: bool = False) -> Cache:
        """Return a cache without queries."""
        c, d = texts.shape
        return Cache(
            texts.new_zeros(c, slots, d),
            texts.new_full((c, slots), torch.inf),
            texts.new_zeros(c, slots, c) if values else None,
        )

    def take(self, x: Tensor, column: Tensor, entropy: Tensor, value: Tensor | None = None) -> None:
        """Keep a query [d] if its class [1] has a free slot or a less sure query, which it takes the place of."""
        own = self.entropies[column]
        slot = own.argmax(1)
        goes = entropy < own.gather(1, slot.unsqueeze(1)).squeeze(1)
        self.entropies[column, slot] = torch.where(goes, entropy, self.entropies[column, slot])
        self.keys[column, slot] = torch.where(goes.unsqueeze(1), x, self.keys[column, slot])
        if self.values is not None and value is not None:
            self.values[column, slot] = torch.where(goes.unsqueeze(1), value, self.values[column, slot])

    def votes(self, x: Tensor, beta: float) -> Tensor:
        """Return what the queries say of one [d], weighed by affinity, [c]."""
        near = (beta * (self.keys @ x - 1)).exp()
        near = near.masked_fill(self.entropies.isinf(), 0.0)
        return near.sum(1) if self.values is None else (near.reshape(1, -1) @ self.values.flatten(0, 1))[0]


@method(
    "tda",
    paper="Karmanov et al., Efficient Test-Time Adaptation of Vision-Language Models, CVPR 2024, arXiv:2403.18293",
    equation="logits = 100 x T' + alpha exp(-beta (1 - x K')) onehot(pred) - 0.117 exp(-(1 - x N')) [0.03 < p < 1]",
    needs=("prompts",),
    sees="stream",
)
@dataclass(frozen=True, kw_only=True)
class TDA:
    """Keep the surest queries of each predicted class, and some unsure ones that say what they are not.

    As the official code has it (kdiAAA/TDA, commit e697fb0, tda_runner.py), with one view of a query, as it has on
    ImageNet and the ten sets: a query enters before it is answered. Of a class the positive cache keeps the three
    with the least entropy of softmax(100 x T'), the negative one two among those whose entropy in nats over log2(c) is
    within 0.2 and 0.5. Where a data set has no settings of its own, ImageNet's are taken.

    Attributes
    ----------
    alpha, beta : float or None
        Of the positive cache; None is the data set's own.
    """

    alpha: Annotated[float, Ge(0)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    slots: Annotated[int, Ge(1)] = 3
    negative_alpha: Annotated[float, Ge(0)] = 0.117
    negative_beta: Annotated[float, Gt(0)] = 1.0
    negative_slots: Annotated[int, Ge(1)] = 2
    unsure: tuple[float, float] = (0.2, 0.5)
    possible: tuple[float, float] = (0.03, 1.0)

    def build(self, task: Task, *, rng: Stream) -> Texts:
        """Return the class texts and the settings."""
        texts = prompt_matrix(task)
        assert texts is not None
        alpha, beta = _SETTINGS.get(canonical(task.dataset), _SETTINGS["imagenet"])
        return Texts(texts, alpha if self.alpha is None else self.alpha, self.beta or beta)

    def begin(self, state: Texts) -> tuple[Cache, Cache]:
        """Return the empty caches: of sure and of unsure queries."""
        return Cache.empty(state.vectors, self.slots), Cache.empty(state.vectors, self.negative_slots, values=True)

    def step(self, state: Texts, seen: tuple[Cache, Cache], queries: Tensor) -> Tensor:
        """Return logits [q, c] of the next queries, each of which may enter the caches before it is answered."""
        return torch.cat([self._one(state, *seen, x) for x in normalise(queries).split(1)])

    def _one(self, state: Texts, sure: Cache, unsure: Cache, x: Tensor) -> Tensor:
        logits = LOGIT_SCALE * x @ state.vectors.T
        log_p = logits.log_softmax(1)
        p, column = log_p.exp(), logits.argmax(1)
        entropy = -(p * log_p).sum(1)
        sure.take(x, column, entropy)
        share = entropy / math.log2(len(state.vectors))
        # A query that is not unsure has an infinite entropy there, and takes no slot.
        outside = (share <= self.unsure[0]) | (share >= self.unsure[1])
        maybe = ((p > self.possible[0]) & (p < self.possible[1])).to(x.dtype)
        unsure.take(x, column, entropy.masked_fill(outside, torch.inf), maybe)
        positive = state.alpha * sure.votes(x[0], state.beta)
        return logits + positive - self.negative_alpha * unsure.votes(x[0], self.negative_beta)

    def score(self, state: Texts, queries: Tensor) -> Tensor:
        """Return logits [q, c] of queries as a stream of their own."""
        return in_turn(self, state, queries)
