"""The memory-modular learner."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from bench.core.explanation import Explanation, Neighbour, neighbours
from bench.core.features import Features
from bench.core.memory import Items
from bench.core.protocols import About, Part
from bench.core.registry import method
from bench.core.task import Session, Task
from bench.functional.attention import Block, Start, attend
from bench.functional.classwise import normalise
from bench.learning.choosing import NOT_SPARED
from bench.learning.half_adam import HALF_MAX
from bench.learning.holdout import hold_out
from bench.learning.modular.forward import Forward, Integration
from bench.learning.modular.memory import Plugging, new_items
from bench.learning.modular.state import Modular, Weights
from bench.learning.modular.training import Check, Criterion, Training
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.random import Stream


@method(
    "mml",
    paper="Kang et al., Memory-Modular Classification: Learning to Generalize with Memory Replacement, TMLR 2025",
    equation="eqs. 1-5",
    adapted="optimiser: Adam at 1e-4 in float32 for 1e-6 in float16, where epsilon is as large as the rate; schedule: "
    "at most 20 epochs, 5 without a better one (2 in later sessions), the start among those chosen from, for the best "
    "of 1000; "
    "scale: logits times 25 for 16, at which queries that are right already are still pushed; initialisation: "
    "output matrices at zero, since a random block costs accuracy before it is trained; normalisation: "
    "features of norm 10, about CLIP's own, and prototypes that are means of unit-norm features, since packs "
    "hold unit norms; integration without neighbours keeps the outer residual of eq. 3; ties go to the first "
    "item; chosen on validation classes, or on images held out where the target's own are trained on, by the loss, "
    "where the code counts right answers, and trained weights are kept only where a t test over validation classes "
    "shows that they are better; rate, scale, start and image weight are candidates of docs/selection.md. "
    "`mml-official` trains as the official code does, and takes norms as they are where they are not all 1",
    needs=("images",),
    selection="validation",
    stores_items=True,
    variants={
        "mml-official": {
            "feature_norm": "raw",
            "start": "random",
            "start_counts": False,
            "choose_by": "accuracy",
            "precision": "float16",
            "logit_scale": 16.0,
            "lr": 1e-6,
            "epochs": 1000,
            "adapt_epochs": 1000,
            "patience": None,
            "extend_patience": None,
        },
        "mml-prototypes": {"integration": "none"},
        "mml-mean": {"integration": "mean"},
        "mml-no-knn": {"integration": "self"},
        "mml-image": {"memory": "image"},
        "mml-text": {"memory": "text"},
        "mml-unified": {"memory": "unified"},
        "mml-kernel-mean": {"start": "kernel-mean"},
        "mml-ttt": {"adapt": "always"},
    },
    also_needs={"mml-ttt": ("support",)},
    faithful=("mml-official",),
)
@dataclass(frozen=True, kw_only=True)
class MML:
    """Integrate the query with its nearest image and text items by attention, then compare with class prototypes.

    Trained once on seen classes with their own memory; for other classes only memory and prototypes are exchanged.
    Scores are tau (w cos(p_img, f_img) + cos(p_txt, f_txt)), eqs. 4 and 5.

    Attributes
    ----------
    k : int
        Items retrieved from each memory.
    prototypes : str
        ``auto`` takes the mean of the support where there is one, and the texts in consensus with it (the paper's
        few-shot rule), and cross-modal consensus elsewhere; the others are those of :mod:`bench.learning.prototypes`.
    prototype_items : int
        M of eq. 1.
    integration : str
        ``attention`` (eq. 3); ``mean`` adds the plain mean of the neighbours; ``self`` lets the query be its own
        key and value; ``none`` compares the bare query with the prototypes.
    memory : str
        ``separate`` memories, ``image`` or ``text`` memory alone (the other branch keeps its prototypes and the bare
        query), or one ``unified`` memory with a single branch, which is compared with both kinds of prototypes.
    coverage : float
        A branch takes part if at least this share of the classes has items of its modality. With texts for a few
        classes only, every query would be pulled towards those few.
    feature_norm : float, "raw" or None
        The norm the features are given before integration. The residual sums depend on that scale: CLIP ViT-B/32
        features as the encoder gives them have a norm of about 10. ``raw`` takes features as they are stored, and their
        means as prototypes, unless they have unit norm, which becomes 10. None leaves features as they are stored.
    image_weight : float or "auto"
        w, what the image branch counts for; 1 is eq. 4. ``auto`` takes the best on validation classes, before
        training and again after it.
    choose_by : str
        What the epoch and the image weight are best by on validation data: the ``loss``, at the scale that suits each
        best, or the ``accuracy``, as in the official code, of which many epochs and weights have nearly the same.
    start : str
        Untrained weights: ``random``, ``zero`` (output matrices at zero, so that a query is first compared as it is) or
        ``kernel-mean`` (Q = K = V = I, so that the kernel mean of the neighbours is added).
    precision : str
        What the weights and Adam's moments are held in; ``float16`` rounds every line of Adam.
    start_counts : bool
        Whether untrained weights are kept where no epoch is better, or not surely better, see ``doubt``.
    doubt : float
        Where epochs are chosen on validation classes, trained weights replace those they started from only if a
        one-sided paired t test over these classes leaves no more doubt than this that they are better; at 0.5 if they
        are better on average. Few classes do not speak for others, and an epoch that is the best of twenty on eight of
        them can cost points on the classes that are asked about.
    adapt : str
        When the weights are also trained on the target's own support (test-time training), or in class-incremental
        learning on all that the capped memory holds: ``auto`` only if they were not trained on seen classes;
        ``always`` needs a support. The epoch is then chosen on images held out of that support, a quarter of each
        class; where no class can spare one, nothing is trained.
    epochs, adapt_epochs : int
        At most, on seen classes (the best on validation classes is kept; without any, the last), and on the target's
        own images.
    patience, extend_patience : int or None
        Epochs without a better one after which training stops; the second in sessions after the first, whose training
        begins with the weights of the session before. None goes on to the last.
    logit_scale : float
        tau of eq. 5.
    """

    k: Annotated[int, Ge(1)] = 32
    prototypes: Literal["auto", "cross-modal", "all", "random", "images", "texts"] = "auto"
    prototype_items: Annotated[int, Ge(1)] = 16
    integration: Integration = "attention"
    memory: Literal["separate", "image", "text", "unified"] = "separate"
    coverage: Annotated[float, Ge(0), Le(1)] = 0.5
    feature_norm: Annotated[float, Gt(0), Le(1e15)] | Literal["raw"] | None = 10.0
    image_weight: Annotated[float, Ge(0)] | Literal["auto"] = 1.0
    choose_by: Criterion = "loss"
    start: Start = "zero"
    precision: Literal["float32", "float16"] = "float32"
    start_counts: bool = True
    doubt: Annotated[float, Gt(0), Le(0.5)] = 0.05
    adapt: Literal["auto", "never", "always"] = "auto"
    logit_scale: Annotated[float, Gt(0)] = 25.0
    lr: Annotated[float, Gt(0)] = 1e-4
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    epochs: Annotated[int, Ge(0)] = 20
    adapt_epochs: Annotated[int, Ge(0)] = 20
    patience: Annotated[int, Ge(1)] | None = 5
    extend_patience: Annotated[int, Ge(1)] | None = 2
    batch: Annotated[int, Ge(1)] = 256
    weights: Weights | None = field(default=None, metadata={"param": False})
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})
    about: ClassVar[About]

    def __post_init__(self) -> None:
        """Ask for support where the weights are to be trained on it, so that `mml-ttt` is never `mml` unawares.

        And refuse features that the code of the paper, which holds them in float16 too, would turn into infinity.
        """
        if self.precision == "float16" and isinstance(self.feature_norm, int | float) and self.feature_norm > HALF_MAX:
            raise BenchError(
                f"mml.feature_norm={self.feature_norm:g} is out of the range of float16, which ends at {HALF_MAX:g}; "
                "lower it, or set mml.precision=float32"
            )
        if self.adapt == "always":
            wanted = replace(type(self).about, needs=(*type(self).about.needs, "support"))
            object.__setattr__(self, "about", wanted)

    # -- what a newcomer reads first: train, build, extend, score ------------------------------------------------

    def train(self, training: Session, validation: Session | None, *, rng: Stream) -> MML:
        """Return the method with weights trained on seen classes, from the best epoch on validation classes."""
        weights = self.weights or self._initial(training.task, rng)
        state = self._plugging.plug(training.task, weights, rng=rng)
        check = None
        if validation is not None:
            seen = self._plugging.plug(validation.task, weights, rng=rng.child("validation"))
            check = Check(seen, validation.queries, validation.targets, "validation classes", of_others=True)
        weights = self._training.fit(
            self._forward,
            state,
            training.queries,
            training.targets,
            check,
            epochs=self.epochs,
            patience=self.patience,
            on="seen classes",
            rng=rng,
        )
        return replace(self, weights=weights)

    def build(self, task: Task, *, rng: Stream) -> Modular:
        """Return the weights with this task's memory and prototypes plugged in."""
        return self._adapted(
            self._plugging.plug(task, self.weights or self._initial(task, rng), rng=rng), task, rng=rng
        )

    def extend(self, state: Modular, task: Task, *, rng: Stream) -> Modular:
        """Return the state after a session: the memory grown and cut to the budget, prototypes are made again.

        Old and new items nearest to the mean of their class are kept (section 4.4 of the paper). Without a budget
        prototypes of an earlier session's support stay, since it is not dealt again.
        """
        brought = task.all_images if task.budget.limited else task.image_memory
        images = Items.concat([state.image.items, new_items(brought, state.image.items)])
        texts = Items.concat([state.text.items, new_items(task.text_memory, state.text.items)])
        known = None if task.budget.limited else state
        weights = state.weights if self._adapts else self.weights or state.weights
        plugged = self._plugging.plug(task, weights, images=images, texts=texts, known=known, rng=rng)
        return self._adapted(plugged, task, rng=rng, before=state)

    def score(self, state: Modular, queries: Tensor) -> Tensor:
        """Return scores at the scale of training, within tau (1 + w) of zero, [q, c]."""
        return self.logit_scale * self._forward.score(state, queries)

    def spared(self, state: Modular) -> Collection[str]:
        """Return the ids of the images that the weights were not trained on, of those that they might have been."""
        names: list[str] = state.spared.tolist()
        return names

    def as_trained(self, state: Modular) -> MML:
        """Return the method with the weights of a state, which no memory changes any more."""
        return replace(self, weights=state.weights, adapt="never")

    def explain(self, state: Modular, task: Task, query: Tensor) -> Explanation:
        """Return the neighbours with their attention weights, and the cosines to prototypes after integration."""
        asked = self._forward.ask(state, query.unsqueeze(0))
        cosines = self._forward.cosines(state, state.weights, asked, slice(0, 1))
        near: list[Neighbour] = []
        parts = (
            ("image", state.image, state.weights.image, asked.image),
            ("text", state.text, state.weights.text, asked.text),
        )
        places = self._forward.places(state, query.unsqueeze(0))
        for (name, branch, block, items), at in zip(parts, places, strict=True):
            if at is None or items is None or block is None:
                continue
            x = items.of(slice(0, 1)).each
            mean = x.new_full((1, x.shape[1]), 1 / x.shape[1])
            shares = mean if self.integration == "mean" else attend(block.map(torch.Tensor.float), asked.f[:], x)
            similar = normalise(branch.searched.x[at[0]]) @ normalise(query)
            near += neighbours(branch.searched, at[0], similar, shares[0], name)
        words = "shares of the mean" if self.integration == "mean" else "attention weights, which add up to 1 a branch"
        return Explanation(
            neighbours=tuple(near),
            weights=words if near else "",
            prototypes={
                name: part[0] for name, part in zip(("image", "text"), cosines, strict=True) if part is not None
            },
        )

    def runs_without(self, task: Task) -> tuple[Part, ...]:
        """Return that the text branch takes no part, for want of texts of enough classes."""
        with_text = len(task.text_memory.labels.unique())
        wanted = self.memory != "image"
        return ("text branch",) if wanted and (not with_text or with_text < self.coverage * task.n_classes) else ()

    def describe(self, state: Modular) -> dict[str, Any]:
        """Return which branches had items, what was trained and chosen on what, and the neighbours there really are."""
        weights = state.weights
        return {
            "branches": "+".join(n for n, b in (("image", state.image), ("text", state.text)) if b.on),
            "trained_on": weights.trained_on,
            "chosen_on": weights.chosen_on,
            "configurations": weights.tried,
            "epoch": weights.epoch,
            "untrained_start_chosen": weights.epoch == 0,
            "image_weight": weights.image_weight,
            "k_used": min([self.k, *(len(b.items) for b in (state.image, state.text) if len(b.items))]),
        }

    # -- its parts ---------------------------------------------------------------------------------------------------

    @property
    def _plugging(self) -> Plugging:
        return Plugging(
            prototypes=self.prototypes,
            prototype_items=self.prototype_items,
            memory=self.memory,
            coverage=self.coverage,
            feature_norm=self.feature_norm,
        )

    @property
    def _forward(self) -> Forward:
        return Forward(k=self.k, integration=self.integration, memory=self.memory)

    @property
    def _training(self) -> Training:
        return Training(
            image_weight=self.image_weight,
            choose_by=self.choose_by,
            logit_scale=self.logit_scale,
            lr=self.lr,
            weight_decay=self.weight_decay,
            batch=self.batch,
            start_counts=self.start_counts,
            doubt=self.doubt,
            options=self.training_options,
        )

    def _initial(self, task: Task, rng: Stream) -> Weights:
        dtype = torch.float16 if self.precision == "float16" else torch.float32

        def block(name: str) -> Block:
            drawn = Block.initial(task.dimension, rng.child("init", name)).at(self.start)
            return drawn.map(lambda w: w.to(task.device, dtype))

        weight = 1.0 if self.image_weight == "auto" else self.image_weight
        return Weights(block("image"), None if self.memory == "unified" else block("text"), image_weight=weight)

    # -- training on the target's own images ---------------------------------------------------------------------

    @property
    def _adapts(self) -> bool:
        return self.adapt == "always" or (self.adapt == "auto" and self.weights is None)

    def _adapted(self, state: Modular, task: Task, *, rng: Stream, before: Modular | None = None) -> Modular:
        """Return the state with weights trained on the task's own support, if ``adapt`` says so.

        Parameters
        ----------
        before : Modular, optional
            The state of the session before. What was held out then is held out as long as it is kept: its weights are
            where training begins.
        """
        spared = np.zeros(0, dtype=np.str_) if before is None else before.spared
        if not self._adapts or not len(task.support):
            return replace(state, spared=spared)
        images, new = task.support, Items.of_features(task.support, "support")
        if task.budget.limited:
            kept, new = state.image.items, task.all_images
            images = Features(kept.x, kept.labels, kept.ids, task.support.class_names)
        if before is not None:
            new = new_items(new, before.image.items)
        fresh = hold_out(task.columns(new.labels), new.ids, share=0.25).cpu().numpy()
        spared = np.concatenate([spared, new.ids[fresh]])
        # An only image is its own prototype, so that at most half of a class is judged.
        most = hold_out(task.columns(images.labels), images.ids, share=0.5).cpu().numpy()
        unseen = np.isin(images.ids, spared)
        held = most & unseen
        if not held.any():
            # A training that nothing judges could be worse than none.
            why = f"nothing: {NOT_SPARED}"
            unjudged = state.weights.chosen_on == "nothing"
            weights = replace(state.weights, chosen_on=why) if unjudged else state.weights
            return replace(state, weights=weights, spared=spared)
        shown, judged = images.take(~unseen), images.take(held)
        reduced = replace(
            task,
            support=task.support.take(~np.isin(task.support.ids, judged.ids)),
            memory=task.memory.replace(images=_without(task.memory.images, judged.ids)),
        )
        plugged = self._plugging.plug(
            reduced,
            state.weights,
            images=_without(state.image.items, judged.ids),
            texts=state.text.items,
            known=None if task.budget.limited else before,
            rng=rng,
        )
        weights = self._training.fit(
            self._forward,
            plugged,
            shown,
            task.columns(shown.labels),
            Check(plugged, judged, task.columns(judged.labels), "images held out"),
            epochs=self.adapt_epochs,
            patience=self.patience if before is None else self.extend_patience,
            on="support" if self.weights is None else "seen classes, then support",
            rng=rng.child("adapt"),
        )
        return replace(state, weights=weights, spared=spared)


def _without(items: Items, ids: np.ndarray) -> Items:
    return items.take(~np.isin(items.ids, ids))
