"""Incremental classifier and representation learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.features import Features
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_means, normalise
from bench.functional.stored_rows import made_rows, taken
from bench.learning.incremental import SessionTraining, choose_exemplars, joined, new_images
from bench.learning.incremental_net import FEATURE_NORM, Net
from bench.learning.session_loss import softened
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The network, the exemplars (best first within a class), and the mean of each class's, unit norm [c, d]."""

    net: Net
    exemplars: Features
    means: Tensor = field(metadata=STATISTICS)
    counts: Tensor = field(metadata=STATISTICS)


@method(
    "icarl",
    paper="Rebuffi et al., iCaRL: Incremental Classifier and Representation Learning, CVPR 2017, arXiv:1611.07725",
    equation="algorithms 1-5; cross-entropy and distillation at T = 2 for the sigmoid losses of eq. 1",
    adapted="frozen features: trains a residual adapter and a head, not the encoder (depth=full does); "
    "optimiser, rate, epochs, the adapter and how the head starts are ours, chosen as docs/selection.md says",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class ICaRL(SessionTraining):
    """Train on new images and exemplars with distillation; answer by the nearest mean of exemplars.

    In each session the loss is cross-entropy over all classes so far plus distillation on the old classes' logits
    at temperature 2. Exemplars are chosen by herding in the adapted feature space, and the budget is divided evenly
    among all classes; an old class loses the tail of its list.
    """

    epochs: Annotated[int, Ge(1)] = 5
    min_steps: Annotated[int, Ge(0)] = 30
    temperature: Annotated[float, Gt(0)] = 2.0
    distillation: Annotated[float, Ge(0)] = 1.0

    def build(self, task: Task, *, rng: Stream) -> Exemplars:
        """Return the state after the first session."""
        return self._session(self.initial(task, rng.child("init")), None, None, task, rng)

    def extend(self, state: Exemplars, task: Task, *, rng: Stream) -> Exemplars:
        """Return the state after a further session."""
        return self._session(state.net.grow(task.n_classes, rng.child("init")), state.net, state.exemplars, task, rng)

    def _session(self, net: Net, old: Net | None, exemplars: Features | None, task: Task, rng: Stream) -> Exemplars:
        new = new_images(task)
        data = joined(exemplars, new)
        columns = task.columns(data.labels)
        trainable = self.in_training(net)
        with torch.no_grad():
            fixed, target = net.fixed_rows(data.x), None
            if old is not None:
                wide = max(len(old.head), data.dimension)
                target = old.made_of(data.x, lambda x: softened(old.logits(x), self.temperature), wide)

        def loss(rows: Tensor) -> Tensor:
            x, soft = taken(fixed, rows), None if target is None else taken(target, rows)
            return trainable.session_loss(x, columns[rows], soft, temperature=self.temperature, share=self.distillation)

        self.fit_session(
            trainable.tensors(), loss, data, owner="icarl", rng=rng.child("fit"), tower=trainable.tower_tensors()
        )
        net = trainable.detached()
        # A float32 mean and an int64 count of each class.
        chosen = choose_exemplars(net, exemplars, new, task, beside=task.n_classes * (4 * net.head.shape[1] + 8))
        at = task.columns(chosen.labels)
        means = normalise(class_means(made_rows(chosen.x, lambda x: normalise(net.embed(x))), at, task.n_classes))
        return Exemplars(net, chosen, means, class_counts(at, task.n_classes))

    def score(self, state: Exemplars, queries: Tensor) -> Tensor:
        """Return closeness to the means of exemplars, [q, c]; a class without exemplars gets minus infinity.

        Minus half the squared distance (eq. 2) of features and means that both have the norm the network trains at,
        less what is the same for all classes: the square of that norm times the cosine.
        """
        scores = FEATURE_NORM**2 * normalise(state.net.embed(queries)) @ state.means.T
        return scores.masked_fill(state.counts == 0, -torch.inf)
