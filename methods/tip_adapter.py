"""Tip-Adapter: a key-value cache of the support beside zero-shot classification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.explanation import Explanation, neighbours
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.classwise import class_counts, normalise
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.holdout import hold_out
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream

_ALPHA_LOW, _ALPHA_HIGH, _BETA_LOW, _BETA_HIGH = 0.1, 3.0, 0.1, 7.0


@dataclass(frozen=True, eq=False)
class Cache:
    """The cache, the class texts if every class has one, and the alpha and beta it is weighed with.

    Attributes
    ----------
    keys : Tensor [n, d]
        Unit norm; for tip-adapter-f as trained, of any norm.
    columns : int64 Tensor [n]
    counts : int64 Tensor [c]
    """

    keys: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    counts: Tensor = field(metadata=STATISTICS)
    texts: Tensor | None = field(metadata=STATISTICS)
    alpha: float
    beta: float
    held_out: int


@dataclass(frozen=True, eq=False)
class TrainedCache(Cache):
    """A cache whose keys were trained: each began as an image and is a weight now, which no item gives back."""

    keys: Tensor = field(metadata=WEIGHTS)


@method(
    "tip-adapter",
    paper="Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022, "
    "arXiv:2207.09519",
    equation="logits = 100 x W + alpha exp(-beta (1 - x K')) onehot(y); -F trains K",
    adapted="alpha and beta are chosen on held-out support; where a class has no text the zero-shot term is left out "
    "for all and only beta is chosen",
    needs=("images",),
    selection="support-heldout",
    stores_items=True,
    variants={"tip-adapter-f": {"finetune": True}},
)
@dataclass(frozen=True, kw_only=True)
class TipAdapter:
    """Add affinities to labelled images, summed by class, to the zero-shot logits.

    Attributes
    ----------
    alpha, beta : float or None
        None chooses on ``min(held_out, n // 2)`` images of each class with a cache of the others, among ``steps``
        values each, alpha from 0.1 to 3 and beta from 0.1 to 7 and the defaults; ties keep the defaults, then the
        smallest. Where there is nothing to choose on they are ``default_alpha`` and ``default_beta``.
    finetune : bool
        Train the keys (tip-adapter-f): AdamW, the learning rate falling along half a cosine.
    """

    alpha: Annotated[float, Ge(0)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    default_alpha: Annotated[float, Ge(0)] = 1.17
    default_beta: Annotated[float, Gt(0)] = 1.0
    held_out: Annotated[int, Ge(1)] = 4
    steps: Annotated[int, Ge(1)] = 20
    finetune: bool = False
    lr: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    epochs: Annotated[int, Ge(1)] = 20
    batch: Annotated[int, Ge(1)] = 256
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Cache:
        """Return the cache with alpha and beta; the keys are trained on all images after both are chosen."""
        items = task.labelled
        x, columns, texts = normalise(items.x), task.columns(items.labels), prompt_matrix(task)
        test = hold_out(columns, items.ids, limit=self.held_out)
        alpha = self.default_alpha if self.alpha is None else self.alpha
        beta = self.default_beta if self.beta is None else self.beta
        held = int(test.sum()) if self.alpha is None or self.beta is None else 0
        if held:
            rest = self._cache(x[~test], columns[~test], texts, alpha, beta, 0, task.n_classes, rng.child("choice"))
            alpha, beta = self._choose(rest, x[test], columns[test])
        return self._cache(x, columns, texts, alpha, beta, held, task.n_classes, rng)

    def _cache(
        self,
        x: Tensor,
        columns: Tensor,
        texts: Tensor | None,
        alpha: float,
        beta: float,
        held: int,
        n_classes: int,
        rng: Stream,
    ) -> Cache:
        cache = Cache(x, columns, class_counts(columns, n_classes), texts, alpha, beta, held)
        if not self.finetune or not len(x):
            return cache
        keys = as_parameter(x)
        trainable = Cache(keys, columns, cache.counts, texts, alpha, beta, held)

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            return F.cross_entropy(_logits(trainable, x[rows], alpha, beta), columns[rows])

        fit(
            [keys],
            loss,
            len(x),
            owner="tip-adapter",
            optimiser=torch.optim.AdamW([keys], lr=self.lr, eps=1e-4, weight_decay=self.weight_decay),
            epochs=self.epochs,
            batch=self.batch,
            cosine=True,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        return TrainedCache(keys.detach(), columns, cache.counts, texts, alpha, beta, held)

    def _choose(self, cache: Cache, x: Tensor, target: Tensor) -> tuple[float, float]:
        def grid(fixed: float | None, default: float, low: float, high: float) -> list[float]:
            if fixed is not None:
                return [fixed]
            return [default, *torch.linspace(low, high, self.steps, dtype=torch.float64).tolist()]

        alphas = grid(self.alpha, self.default_alpha, _ALPHA_LOW, _ALPHA_HIGH)
        if cache.texts is None:
            alphas = alphas[:1]
        tried, hits = [], []
        for beta in grid(self.beta, self.default_beta, _BETA_LOW, _BETA_HIGH):
            votes = _votes(cache, x, beta)
            for alpha in alphas:
                logits = alpha * votes if cache.texts is None else LOGIT_SCALE * x @ cache.texts.T + alpha * votes
                tried.append((alpha, beta))
                hits.append((logits.argmax(1) == target).sum())
        # Read back together: one by one would wait for the device at each of some hundred pairs.
        right = torch.stack(hits).tolist()
        return tried[right.index(max(right))]

    def score(self, state: Cache, queries: Tensor) -> Tensor:
        """Return logits [q, c]; a class without texts and images gets minus infinity."""
        scores = _logits(state, normalise(queries), state.alpha, state.beta)
        return scores if state.texts is not None else scores.masked_fill(state.counts == 0, -torch.inf)

    def explain(self, state: Cache, task: Task, query: Tensor) -> Explanation:
        """Return the cached images, nearest key first, with what each adds to its class, and the text cosines."""
        x = normalise(query)
        similar, order = (state.keys @ x).sort(descending=True, stable=True)
        added = state.alpha * (state.beta * (similar - 1)).exp()
        texts = {} if state.texts is None else {"text": state.texts @ x}
        return Explanation(
            neighbours=neighbours(task.labelled, order, similar, added),
            weights="what each adds to the logit of its class",
            prototypes=texts,
        )

    def describe(self, state: Cache) -> dict[str, Any]:
        """Return alpha and beta, on how many images they were chosen, and whether the zero-shot term was there."""
        return {
            "alpha": state.alpha,
            "beta": state.beta,
            "held_out": state.held_out,
            "zero_shot_term": state.texts is not None,
        }


def _votes(cache: Cache, x: Tensor, beta: float) -> Tensor:
    """Return the affinities to the keys summed by class, [q, c]."""
    affinity = (beta * (x @ cache.keys.T - 1)).exp()
    return affinity @ F.one_hot(cache.columns, len(cache.counts)).to(affinity)


def _logits(cache: Cache, x: Tensor, alpha: float, beta: float) -> Tensor:
    cached = alpha * _votes(cache, x, beta)
    return cached if cache.texts is None else LOGIT_SCALE * x @ cache.texts.T + cached
