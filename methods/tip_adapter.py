"""Tip-Adapter: a key-value cache of the support beside zero-shot classification."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.explanation import Explanation, neighbours
from bench.core.protocols import Part
from bench.core.registry import method
from bench.core.state_bytes import MEMORY, STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.cache_votes import Grid, cached_votes, class_votes_of
from bench.functional.classwise import class_counts, normalise
from bench.functional.stored_rows import are_many
from bench.learning.choosing import told_of_choice
from bench.learning.class_texts import LOGIT_SCALE, lacking_class_texts, prompt_matrix
from bench.learning.holdout import hold_out
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream


@dataclass(frozen=True)
class Search:
    """Where the official code starts and how far it searches on one data set; alpha, then beta; beta starts at 1."""

    alpha: float
    alpha_end: float
    beta_end: float
    epochs: int = 20


_SEARCHES = {
    "imagenet": Search(1.17, 3, 7),
    "oxford_pets": Search(1.17, 3, 7),
    "caltech101": Search(3, 5, 12),
    "stanford_cars": Search(3, 10, 20),
    "flowers102": Search(10, 50, 50),
    "food101": Search(1.17, 10, 10),
    "fgvc_aircraft": Search(5, 30, 30),
    "sun397": Search(1.17, 10, 12),
    "dtd": Search(2, 13, 13),
    "eurosat": Search(2, 10, 12, epochs=100),
    "ucf101": Search(3, 3, 7),
}
"""The files of gaopengcuhk/Tip-Adapter's folder configs, at commit d0e2d6f."""

_ALIASES = {
    "oxford_flowers": "flowers102",
    "fgvc": "fgvc_aircraft",
    "imagenet_s": "imagenet",
    "imagenet100": "imagenet",
}
"""Other names of the same images."""

_ELSEWHERE = Search(1.17, 30, 30)
"""For a data set that the code has no file for: it starts as on ImageNet and searches as far as on aircraft, one of the
widest ranges. One that ends at 7 and 3 costs 4.6 points there."""

_BETA = 1.0


@dataclass(frozen=True, eq=False)
class Cache:
    """The cache, the class texts if every class has one, and the alpha and beta it is weighed with.

    Attributes
    ----------
    keys : Tensor [n, d]
        Unit norm; for tip-adapter-f as trained, of any norm.
    columns : int64 Tensor [n]
    counts : int64 Tensor [c]
    known : bool
        Whether the range of the search is one of the official code's.
    held_out, tried : int
        On how many images alpha and beta were chosen, and among how many pairs.
    """

    keys: Tensor = field(metadata=MEMORY)
    columns: Tensor = field(metadata=MEMORY)
    counts: Tensor = field(metadata=STATISTICS)
    texts: Tensor | None = field(metadata=STATISTICS)
    alpha: float
    beta: float
    held_out: int
    known: bool
    tried: int = 1


@dataclass(frozen=True, eq=False)
class TrainedCache(Cache):
    """A cache whose keys were trained: each began as an image and is a weight now, which no item gives back."""

    keys: Tensor = field(metadata=WEIGHTS)


@method(
    "tip-adapter",
    paper="Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022, "
    "arXiv:2207.09519",
    equation="logits = 100 x W + alpha exp(-beta (1 - x K')) onehot(y); -F trains K",
    adapted="alpha and beta are chosen on held-out support unless the run gives a validation split, as the code has; "
    "-F keeps the last epoch, where the code keeps the best on the test images; keys are the features as they are, "
    "where the code averages ten augmented views of an image; where a class has no text the zero-shot term is left out "
    "for all and only beta is chosen",
    needs=("images",),
    selection="support-heldout",
    stores_items=True,
    variants={"tip-adapter-f": {"finetune": True}},
)
@dataclass(frozen=True, kw_only=True)
class TipAdapter:
    """Add affinities to labelled images, summed by class, to the zero-shot logits.

    alpha and beta are searched as the official code does (gaopengcuhk/Tip-Adapter, commit d0e2d6f, utils.py,
    ``search_hp``): over 0.1 + i (end - 0.1) / n for i from 0 to n - 1, 200 betas and for each 20 alphas, the first of
    the best. Start and ends are the code's for its eleven data sets, known by their names; elsewhere alpha starts at
    1.17 and both end at 30. Images to choose on are those the run gives (``--selection validation-split``), or
    ``min(held_out, n // 2)`` of each class, with a cache of the others. Where there are none, alpha and beta are where
    they start. Without class texts ties go to the largest beta: with one image of each class in the cache all betas
    give the same answers, and the smallest is 1.5 points below the nearest image on two flowers a class. -F first
    trains the keys at that start, and then searches with the trained keys; what is kept is trained on all images.

    Attributes
    ----------
    alpha, beta : float or None
        None searches.
    alpha_end, beta_end : float or None
        Where the search ends; None is the data set's own, or that for others.
    beta_steps, alpha_steps : int
        How many of each are tried.
    finetune : bool
        Train the keys (tip-adapter-f) from the images: AdamW in float32 with eps 1e-4, the learning rate falling along
        half a cosine by batch, cross-entropy.
    epochs : int or None
        None is 20, and 100 on EuroSAT.
    """

    alpha: Annotated[float, Ge(0)] | None = None
    beta: Annotated[float, Gt(0)] | None = None
    alpha_end: Annotated[float, Gt(0.1)] | None = None
    beta_end: Annotated[float, Gt(0.1)] | None = None
    held_out: Annotated[int, Ge(1)] = 4
    alpha_steps: Annotated[int, Ge(1)] = 20
    beta_steps: Annotated[int, Ge(1)] = 200
    finetune: bool = False
    lr: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    epochs: Annotated[int, Ge(1)] | None = None
    batch: Annotated[int, Ge(1)] = 256
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Cache:
        """Return the cache with alpha and beta."""
        items = task.labelled
        x, columns, texts = normalise(items.x), task.columns(items.labels), prompt_matrix(task)
        search, known = _search_of(task.dataset)
        alpha, beta = search.alpha if self.alpha is None else self.alpha, self.beta or _BETA

        def cache(x: Tensor, columns: Tensor, stream: Stream) -> Cache:
            counts = class_counts(columns, task.n_classes)
            return self._trained(Cache(x, columns, counts, texts, alpha, beta, 0, known), search, stream)

        whole = cache(x, columns, rng)
        # Without texts every alpha gives the same answers.
        if self.beta is not None and (self.alpha is not None or texts is None):
            return whole
        split = task.choose_on
        if split is not None and len(split):
            return self._chosen(whole, whole, normalise(split.x), task.columns(split.labels), search)
        test = hold_out(columns, items.ids, limit=self.held_out)
        if not bool(test.any()):
            return whole
        rest = (~test).nonzero().squeeze(1)
        if not self.finetune:
            # The same keys, of which those held out take no part: they are as large as the images.
            return self._chosen(whole, whole, x[test], columns[test], search, rest)
        part = cache(x[rest], columns[rest], rng.child("choice"))
        return self._chosen(whole, part, x[test], columns[test], search)

    def _trained(self, cache: Cache, search: Search, rng: Stream) -> Cache:
        """Return the cache with its keys trained, if they are to be."""
        if not self.finetune or not len(cache.keys):
            return cache
        x, columns, keys = cache.keys, cache.columns, as_parameter(cache.keys)
        held = None if cache.texts is None or are_many(len(x) * len(cache.counts)) else LOGIT_SCALE * x @ cache.texts.T

        def zero_shot(rows: Tensor) -> Tensor | float:
            if cache.texts is None:
                return 0.0
            return held[rows] if held is not None else LOGIT_SCALE * x[rows] @ cache.texts.T

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            # Images along the rows, where their affinities are added up class by class.
            logits = cache.alpha * class_votes_of(keys @ x[rows].T, columns, len(cache.counts), cache.beta).T
            return F.cross_entropy(zero_shot(rows) + logits, columns[rows])

        fit(
            [keys],
            loss,
            len(x),
            owner="tip-adapter",
            optimiser=torch.optim.AdamW([keys], lr=self.lr, eps=1e-4, weight_decay=self.weight_decay, fused=True),
            epochs=self.epochs or search.epochs,
            batch=self.batch,
            cosine=True,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        trained = {part.name: getattr(cache, part.name) for part in fields(cache)}
        return TrainedCache(**{**trained, "keys": keys.detach()})

    def _chosen(
        self, whole: Cache, cache: Cache, x: Tensor, target: Tensor, search: Search, rows: Tensor | None = None
    ) -> Cache:
        """Return the whole cache with what is best on images [q, d] for a cache, or rows of one, without them."""
        alpha, beta, tried = self._choose(cache, x, target, search, rows)
        return replace(whole, alpha=alpha, beta=beta, held_out=len(x), tried=tried)

    def _choose(
        self, cache: Cache, x: Tensor, target: Tensor, search: Search, rows: Tensor | None = None
    ) -> tuple[float, float, int]:
        """Return the first best alpha and beta of the grid on images [q, d], and how many pairs there are."""
        rows = torch.arange(len(cache.keys), device=x.device) if rows is None else rows
        alphas = [cache.alpha]
        if self.alpha is None and cache.texts is not None:
            alphas = _grid(self.alpha_end or search.alpha_end, self.alpha_steps)
        betas = [cache.beta] if self.beta is not None else _grid(self.beta_end or search.beta_end, self.beta_steps)
        zero_shot = None if cache.texts is None else LOGIT_SCALE * x @ cache.texts.T
        right = Grid(cache.keys, cache.columns, rows, len(cache.counts), x, target, zero_shot).hits(alphas, betas)
        most = max(right)
        best = right.index(most) if cache.texts is not None else max(n for n, hit in enumerate(right) if hit == most)
        return alphas[best % len(alphas)], betas[best // len(alphas)], len(right)

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

    def runs_without(self, task: Task) -> tuple[Part, ...]:
        """Return that class texts are missing, without which the zero-shot term is left out."""
        return lacking_class_texts(task)

    def describe(self, state: Cache) -> dict[str, Any]:
        """Return alpha and beta, on how many images and in whose range they were chosen, and if texts took part."""
        trained = {"untrained_start_chosen": False} if isinstance(state, TrainedCache) else {}
        wanted = self.beta is None or (self.alpha is None and state.texts is not None)
        return {
            **trained,
            "alpha": state.alpha,
            "beta": state.beta,
            **told_of_choice(state.held_out, state.tried, wanted=wanted),
            "range": "of the data set" if state.known else "stated for others",
            "zero_shot_term": state.texts is not None,
        }


def _search_of(dataset: str) -> tuple[Search, bool]:
    """Return where to search on a data set, and whether the official code says so."""
    name = dataset.lower().replace("-", "_")
    found = _SEARCHES.get(_ALIASES.get(name, name))
    return found or _ELSEWHERE, found is not None


def _grid(end: float, steps: int) -> list[float]:
    return [i * (end - 0.1) / steps + 0.1 for i in range(steps)]


def _logits(cache: Cache, x: Tensor, alpha: float, beta: float) -> Tensor:
    votes = alpha * cached_votes(cache.keys, cache.columns, len(cache.counts), x, beta)
    return votes if cache.texts is None else LOGIT_SCALE * x @ cache.texts.T + votes
