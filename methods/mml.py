"""The memory-modular learner."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.explanation import Explanation, Neighbour, neighbours
from bench.core.features import Features
from bench.core.memory import Items
from bench.core.protocols import About
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, nbytes
from bench.core.task import Session, Task
from bench.functional.attention import Block, attend, integrate, standardise
from bench.functional.classwise import class_counts, class_means, drop_self, nearest_to_mean, normalise, rows_of_classes
from bench.learning.prototypes import Kind, carried_over, prototypes
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream

_CHUNK = 1024
"""Queries integrated at a time: 1024 x 32 x 512 neighbours are 64 MiB."""


@dataclass(frozen=True, eq=False)
class Weights:
    """The trainable part: one attention block for each branch, 24 d^2 + 30 d numbers (6.3 M at d = 512)."""

    image: Block
    text: Block


@dataclass(frozen=True, eq=False)
class Branch:
    """One modality plugged in.

    Attributes
    ----------
    items : Items
        What the modality's own memory holds.
    searched : Items
        What the branch retrieves from: ``items``, or those of both modalities for a unified memory.
    prototypes : Tensor [c, d]
        Unit norm.
    on : bool
        Whether the branch takes part; see ``coverage`` of :class:`MML`.
    """

    items: Items
    searched: Items
    prototypes: Tensor = field(metadata=STATISTICS)
    on: bool


@dataclass(frozen=True, eq=False)
class Modular:
    """The state: weights, and the memory and prototypes that are plugged into them."""

    weights: Weights
    image: Branch
    text: Branch
    trained: str


@method(
    "mml",
    paper="Kang et al., Memory-Modular Classification: Learning to Generalize with Memory Replacement, TMLR 2025",
    equation="eqs. 1-5",
    needs=("images",),
    selection="validation",
    stores_items=True,
    variants={
        "mml-prototypes": {"integration": "none"},
        "mml-mean": {"integration": "mean"},
        "mml-no-knn": {"integration": "self"},
        "mml-image": {"memory": "image"},
        "mml-text": {"memory": "text"},
        "mml-unified": {"memory": "unified"},
        "mml-ttt": {"adapt": "always"},
    },
    also_needs={"mml-ttt": ("support",)},
)
@dataclass(frozen=True, kw_only=True)
class MML:
    """Integrate the query with its nearest image and text items by attention, then compare with class prototypes.

    Trained once on seen classes with their own memory; for other classes only memory and prototypes are exchanged.
    Scores are cos(p_txt, f_txt) + cos(p_img, f_img) (eq. 4).

    Attributes
    ----------
    k : int
        Items retrieved from each memory.
    prototypes : str
        ``auto`` takes the mean of the support where there is one (the paper's few-shot rule) and cross-modal
        consensus elsewhere; the other kinds are those of :mod:`bench.learning.prototypes`.
    prototype_items : int
        M of eq. 1.
    integration : str
        ``attention`` (eq. 3); ``mean`` adds the plain mean of the neighbours; ``self`` lets the query be its own
        key and value; ``none`` compares the bare query with the prototypes.
    memory : str
        ``separate`` memories, ``image`` or ``text`` memory alone (the other branch keeps its prototypes and the bare
        query), or one ``unified`` memory that both branches search, where the paper has a single branch for it.
    coverage : float
        A branch takes part if at least this share of the classes has items of its modality. With texts for a few
        classes only, every query would be pulled towards those few.
    feature_norm : float or None
        The norm the features are given before integration. The residual sums depend on that scale: CLIP ViT-B/32
        features as the encoder gives them, which the official code uses, have a norm of about 10. None leaves
        features as they are stored.
    adapt : str
        When the weights are also trained on the target's own support (test-time training), or in class-incremental
        learning on all that the capped memory holds: ``auto`` only if they were not trained on seen classes;
        ``always`` needs a support.
    epochs, adapt_epochs : int
        At most, on seen classes (the best on validation classes is kept), and on the target's own images.
    logit_scale : float
        tau of eq. 5, by which logits are multiplied in training.
    """

    k: Annotated[int, Ge(1)] = 32
    prototypes: Literal["auto", "cross-modal", "all", "random", "images", "texts"] = "auto"
    prototype_items: Annotated[int, Ge(1)] = 16
    integration: Literal["attention", "mean", "self", "none"] = "attention"
    memory: Literal["separate", "image", "text", "unified"] = "separate"
    coverage: Annotated[float, Ge(0), Le(1)] = 0.5
    feature_norm: Annotated[float, Gt(0)] | None = 10.0
    adapt: Literal["auto", "never", "always"] = "auto"
    logit_scale: Annotated[float, Gt(0)] = 16.0
    lr: Annotated[float, Gt(0)] = 1e-6
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    epochs: Annotated[int, Ge(0)] = 50
    adapt_epochs: Annotated[int, Ge(0)] = 10
    patience: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 256
    weights: Weights | None = field(default=None, metadata={"param": False})
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})
    about: ClassVar[About]

    def __post_init__(self) -> None:
        """Ask for support where the weights are to be trained on it, so that `mml-ttt` is never `mml` unawares."""
        if self.adapt == "always":
            wanted = replace(type(self).about, needs=(*type(self).about.needs, "support"))
            object.__setattr__(self, "about", wanted)

    # -- what a newcomer reads first: train, build, extend, score ------------------------------------------------

    def train(self, training: Session, validation: Session | None, *, rng: Stream) -> MML:
        """Return the method with weights trained on seen classes, from the best epoch on validation classes."""
        weights = self.weights or self._initial(training.task, rng)
        state = self._plug(training.task, weights, "seen classes", rng=rng)
        check = None
        if validation is not None:
            check = self._plug(validation.task, weights, "seen classes", rng=rng.child("validation"))
        trained = self._fit(state, training.queries, training.targets, check, validation, rng=rng)
        return replace(self, weights=trained)

    def build(self, task: Task, *, rng: Stream) -> Modular:
        """Return the weights with this task's memory and prototypes plugged in."""
        weights = self.weights or self._initial(task, rng)
        state = self._plug(task, weights, "seen classes" if self.weights else "no", rng=rng)
        return self._adapted(state, task, rng=rng)

    def extend(self, state: Modular, task: Task, *, rng: Stream) -> Modular:
        """Return the state after a session: the memory grown and cut to the budget, prototypes are made again.

        Old and new items nearest to the mean of their class are kept (section 4.4 of the paper). Without a budget
        image prototypes that are means of an earlier session's support stay, since it is not dealt again.
        """
        brought = task.all_images if task.budget.limited else task.image_memory
        images = Items.concat([state.image.items, _new(brought, state.image.items)])
        texts = Items.concat([state.text.items, _new(task.text_memory, state.text.items)])
        known = None if task.budget.limited else state.image.prototypes
        plugged = self._plug(task, state.weights, state.trained, images=images, texts=texts, known=known, rng=rng)
        return self._adapted(plugged, task, rng=rng)

    def score(self, state: Modular, queries: Tensor) -> Tensor:
        """Return scores in [-2, 2], [q, c]."""
        f = self._scale(queries)
        places = self._neighbours(state, queries)
        parts = []
        for a in range(0, len(f), _CHUNK):
            rows = slice(a, a + _CHUNK)
            near = [
                None if at is None else self._prepare(branch.searched.x[at[rows]])
                for branch, at in zip((state.image, state.text), places, strict=True)
            ]
            parts.append(self._logits(state.weights, state, f[rows], *near))
        return torch.cat(parts) if parts else f.new_zeros(0, len(state.image.prototypes))

    def explain(self, state: Modular, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours with their attention weights, and the cosines to prototypes after integration."""
        f = self._scale(query.unsqueeze(0))
        near: list[Neighbour] = []
        cosines = {}
        plugged = (("image", state.image, state.weights.image), ("text", state.text, state.weights.text))
        places = self._neighbours(state, query.unsqueeze(0))
        for (name, branch, block), at in zip(plugged, places, strict=True):
            if not branch.on:
                continue
            items = None if at is None else self._prepare(branch.searched.x[at])
            cosines[name] = branch.prototypes @ F.normalize(self._embed(block, f, items)[0], dim=0)
            if at is not None and items is not None:
                mean = items.new_full((1, items.shape[1]), 1 / items.shape[1])
                weights = mean if self.integration == "mean" else attend(block, f, items)
                similar = normalise(branch.searched.x[at[0]]) @ normalise(query)
                near += neighbours(branch.searched, at[0], similar, weights[0], name)
        words = "shares of the mean" if self.integration == "mean" else "attention weights, which add up to 1 a branch"
        return Explanation(neighbours=tuple(near), weights=words if near else "", prototypes=cosines)

    def describe(self, state: Modular) -> dict[str, Any]:
        """Return which branches had items, on what the weights were trained, and the neighbours there really are."""
        branches = [n for n, b in (("image", state.image), ("text", state.text)) if b.on]
        return {
            "branches": "+".join(branches),
            "trained_on": state.trained,
            "k_used": min([self.k, *(len(b.items) for b in (state.image, state.text) if len(b.items))]),
        }

    # -- plugging a memory in ------------------------------------------------------------------------------------

    def _initial(self, task: Task, rng: Stream) -> Weights:
        parts = (Block.initial(task.dimension, rng.child("init", name)) for name in ("image", "text"))
        return Weights(*(block.map(lambda w: w.to(task.device)) for block in parts))

    def _scale(self, x: Tensor) -> Tensor:
        return x.float() if self.feature_norm is None else normalise(x) * self.feature_norm

    def _prepare(self, x: Tensor) -> Tensor:
        """Return items as the integration takes them: standardised, or only scaled for the plain mean."""
        return self._scale(x) if self.integration == "mean" else standardise(self._scale(x))

    def _plug(
        self,
        task: Task,
        weights: Weights,
        trained: str,
        *,
        images: Items | None = None,
        texts: Items | None = None,
        known: Tensor | None = None,
        rng: Stream,
    ) -> Modular:
        capped = task.budget.limited
        if images is None:
            images = task.all_images if capped else task.image_memory
        if texts is None:
            texts = task.text_memory
        # Beside the items: the weights, and a float32 prototype of each class in both modalities.
        quota = task.quota(reserved=nbytes(weights) + 2 * 4 * task.n_classes * task.dimension)
        if quota is not None:
            # All elements count: a class's texts take at most half of what it may keep, its images the rest.
            texts = _shrink(texts, task, [quota // 2] * task.n_classes)
            taken = class_counts(task.columns(texts.labels), task.n_classes).tolist()
            images = _shrink(images, task, [quota - count for count in taken])
        # The items that prototypes are made of are those that are retrieved, unless the task tells them apart.
        apart = task.prototype_memory is not None
        own_images = task.for_prototypes.image_memory if apart else images
        own_texts = task.for_prototypes.text_memory if apart else texts
        image_columns, text_columns = task.columns(own_images.labels), task.columns(own_texts.labels)
        kind: Kind = "cross-modal" if self.prototypes == "auto" else self.prototypes
        p_image, p_text = prototypes(
            own_images.x,
            image_columns,
            own_texts.x,
            text_columns,
            task.n_classes,
            kind=kind,
            count=self.prototype_items,
            rng=rng.child("prototypes"),
        )
        if self.prototypes == "auto" and len(task.support):
            source = images if capped else Items.of_features(task.support, "support")
            means = normalise(class_means(normalise(source.x), task.columns(source.labels), task.n_classes))
            if known is not None:
                old = means[: len(known)]
                means[: len(known)] = torch.where((old != 0).any(1, keepdim=True), old, known)
            has = (means != 0).any(1, keepdim=True)
            no_text = torch.bincount(text_columns, minlength=task.n_classes).unsqueeze(1) == 0
            p_image = torch.where(has, means, p_image)
            instead = carried_over(means, p_text, (has & ~no_text).squeeze(1))
            p_text = torch.where(has & no_text, instead, p_text)
        both = Items.concat([images, texts]) if self.memory == "unified" else None
        on = [
            len(items) > 0 and len(items.labels.unique()) >= self.coverage * task.n_classes for items in (images, texts)
        ]
        return Modular(
            weights,
            Branch(images, images if both is None else both, p_image, on[0] or not on[1]),
            Branch(texts, texts if both is None else both, p_text, on[1]),
            trained,
        )

    def _neighbours(self, state: Modular, queries: Tensor) -> list[Tensor | None]:
        """Return the positions of each query's neighbours in both branches; None where nothing is retrieved."""
        places: list[Tensor | None] = []
        for name, branch in (("image", state.image), ("text", state.text)):
            off = self.integration in ("none", "self") or (self.memory in ("image", "text") and self.memory != name)
            off = off or not branch.on
            found = None if off or not len(branch.searched) else branch.searched.index.search(queries, self.k)
            places.append(None if found is None else found.positions)
        return places

    # -- the forward pass, eqs. 3 and 4 --------------------------------------------------------------------------

    def _embed(self, block: Block, f: Tensor, near: Tensor | None) -> Tensor:
        if self.integration == "self":
            return integrate(block, f, standardise(f).unsqueeze(1))
        if near is None:
            return f
        return f + near.mean(1) if self.integration == "mean" else integrate(block, f, near)

    def _logits(
        self, weights: Weights, state: Modular, f: Tensor, images: Tensor | None, texts: Tensor | None
    ) -> Tensor:
        """Return scores [q, c] of features [q, d] with their prepared neighbours, each [q, k, d]."""
        scores = f.new_zeros(len(f), len(state.image.prototypes))
        for branch, block, near in ((state.image, weights.image, images), (state.text, weights.text, texts)):
            if branch.on:
                scores = scores + F.normalize(self._embed(block, f, near), dim=1) @ branch.prototypes.T
        return scores

    # -- training, eq. 5 -----------------------------------------------------------------------------------------

    def _adapted(self, state: Modular, task: Task, *, rng: Stream) -> Modular:
        """Return the state with weights trained on the task's own support, if ``adapt`` says so."""
        wanted = self.adapt == "always" or (self.adapt == "auto" and self.weights is None)
        if not wanted or not len(task.support):
            return state
        images = task.support
        if task.budget.limited:
            kept = state.image.items
            images = Features(kept.x, kept.labels, kept.ids, task.support.class_names)
        brief = replace(self, epochs=self.adapt_epochs)
        weights = brief._fit(state, images, task.columns(images.labels), None, None, rng=rng.child("adapt"))
        if weights is state.weights:
            return state
        trained = "support" if state.trained in ("no", "support") else f"{state.trained}, then support"
        return replace(state, weights=weights, trained=trained)

    def _fit(
        self,
        state: Modular,
        images: Features,
        targets: Tensor,
        check: Modular | None,
        validation: Session | None,
        *,
        rng: Stream,
    ) -> Weights:
        if self.integration in ("none", "mean") or not self.epochs or not len(images):
            return state.weights
        trainable = Weights(state.weights.image.map(as_parameter), state.weights.text.map(as_parameter))
        leaves = [*trainable.image.tensors(), *trainable.text.tensors()]
        f = self._scale(images.x)
        places = self._neighbours_without_self(state, images)
        if self.integration == "attention" and all(at is None for at in places):
            # Nothing is retrieved, as by a text memory without texts, so no weight takes part.
            return state.weights
        # Neighbours and all that does not depend on weights are computed once, not once a batch.
        prepared = [self._prepare(branch.searched.x) for branch in (state.image, state.text)]

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(f.device)
            near = [None if at is None else x[at[rows]] for x, at in zip(prepared, places, strict=True)]
            logits = self._logits(trainable, state, f[rows], *near)
            return F.cross_entropy(self.logit_scale * logits, targets[rows])

        def accuracy() -> float:
            assert check is not None
            assert validation is not None
            with torch.no_grad():
                scores = self.score(replace(check, weights=trainable), validation.queries.x)
            return float((scores.argmax(1) == validation.targets).float().mean())

        fit(
            leaves,
            loss,
            len(f),
            owner="mml",
            epochs=self.epochs,
            batch=self.batch,
            patience=self.patience,
            optimiser=torch.optim.Adam(leaves, lr=self.lr, eps=1e-6, weight_decay=self.weight_decay),
            validate=accuracy if check is not None else None,
            rng=rng.child("fit"),
            options=self.training_options,
        )
        return Weights(trainable.image.map(torch.Tensor.detach), trainable.text.map(torch.Tensor.detach))

    def _neighbours_without_self(self, state: Modular, images: Features) -> list[Tensor | None]:
        """Return neighbours of training images, never the image itself where it is in the memory too."""
        places = replace(self, k=self.k + 1)._neighbours(state, images.x)
        for n, (branch, at) in enumerate(zip((state.image, state.text), places, strict=True)):
            if at is None:
                continue
            own = torch.from_numpy(branch.searched.ids[at.cpu().numpy()] == images.ids[:, None]).to(at.device)
            places[n] = drop_self(at, own)[:, : self.k]
        return places


def _new(items: Items, old: Items) -> Items:
    """Return the items that are not among the old ones (class texts are dealt again in every session)."""
    return items.take(~np.isin(items.ids, old.ids))


def _shrink(items: Items, task: Task, quotas: list[int]) -> Items:
    """Return no more items of each class than its quota, those nearest to the mean of the class's items.

    ``quotas`` are in column order; classes stand in the order of their ids.
    """
    columns = rows_of_classes(task.columns(items.labels), task.n_classes)
    keep = [torch.zeros(0, dtype=torch.int64, device=items.labels.device)]
    for column in sorted(range(task.n_classes), key=task.classes.__getitem__):
        rows = columns[column]
        if len(rows):
            keep.append(rows[nearest_to_mean(normalise(items.x[rows]), quotas[column])].sort().values)
    kept = torch.cat(keep)
    return items if len(kept) == len(items) else items.take(kept)
