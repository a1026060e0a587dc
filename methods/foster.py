"""Feature boosting and compression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.core.registry import method
from bench.core.task import Task
from bench.functional.classwise import class_counts
from bench.functional.stored_rows import taken
from bench.learning.incremental import SessionTraining, choose_exemplars, joined, new_images
from bench.learning.incremental_net import Net
from bench.learning.session_loss import session_loss, softened
from bench.learning.training import as_parameter
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Compressed:
    """The network of one branch and the exemplars, best first within a class."""

    net: Net
    exemplars: Features


@dataclass(frozen=True, eq=False)
class Boosted:
    """Two branches under one head.

    Attributes
    ----------
    old : Net
        The network of the last session; its adapter stays as it is.
    new : Net
        The new branch with a head of its own.
    head : Tensor [c, 2 d]
        On the features of the old branch and, beside them, of the new one.
    bias : Tensor [c]
    """

    old: Net
    new: Net
    head: Tensor
    bias: Tensor

    def logits(self, fixed: Tensor, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both branches together, and of the new branch alone, each [n, c].

        ``fixed`` is what no training changes of the images, and ``embedded`` what the old branch makes of them.
        """
        fresh = self.new.adapt(fixed)
        both = torch.cat([embedded, fresh], 1)
        return F.linear(both, self.head, self.bias), F.linear(fresh, self.new.head, self.new.head_bias)


@method(
    "foster",
    paper="Wang et al., FOSTER: Feature Boosting and Compression for Class-Incremental Learning, ECCV 2022, "
    "arXiv:2204.04662",
    equation="boosting: CE of both branches, rebalanced + CE of the new branch + distillation; "
    "compression: balanced distillation",
    adapted="frozen features: a branch is a residual adapter and a head, not an encoder (with depth=full it is); "
    "optimiser, rate, epochs, the adapter and how the head starts are ours, chosen as docs/selection.md says",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class Foster(SessionTraining):
    """Add a branch beside the old one in each session, then distil both into one.

    In boosting, logits are divided by class weights (1 - beta) / (1 - beta^n_c) of mean one, n_c images of class c;
    in compression the same weights multiply the teacher's softened probabilities. With ``depth=head`` both branches
    see the same features and only the head is boosted.
    """

    temperature: Annotated[float, Gt(0)] = 2.0
    distillation: Annotated[float, Ge(0)] = 1.0
    beta_boost: Annotated[float, Gt(0), Lt(1)] = 0.96
    beta_compress: Annotated[float, Gt(0), Lt(1)] = 0.97

    def build(self, task: Task, *, rng: Stream) -> Compressed:
        """Return the state after the first session: one branch, trained by cross-entropy."""
        new = new_images(task)
        columns = task.columns(new.labels)
        net = self.initial(task, rng.child("init"))
        trainable, fixed = self.in_training(net), net.fixed_rows(new.x)

        def loss(rows: Tensor) -> Tensor:
            return trainable.session_loss(taken(fixed, rows), columns[rows])

        self.fit_session(
            trainable.tensors(), loss, new, owner="foster", rng=rng.child("fit"), tower=trainable.tower_tensors()
        )
        net = trainable.detached()
        return Compressed(net, choose_exemplars(net, None, new, task))

    def extend(self, state: Compressed, task: Task, *, rng: Stream) -> Compressed:
        """Return the state after a further session: boosted by a branch and compressed into one again."""
        new = new_images(task)
        data = joined(state.exemplars, new)
        columns = task.columns(data.labels)
        counts = class_counts(columns, task.n_classes)
        boosted = self._boost(state.net, data, columns, balance(counts, self.beta_boost), rng.child("boost"))
        net = self._compress(state.net, boosted, data, balance(counts, self.beta_compress), rng.child("compress"))
        return Compressed(net, choose_exemplars(net, state.exemplars, new, task))

    def _boost(self, old: Net, data: Features, columns: Tensor, weights: Tensor, rng: Stream) -> Boosted:
        known = len(old.head)
        # The new branch starts from the old adapter with a head of its own; the joint head from the old head.
        fresh = replace(old, head=old.head[:0], head_bias=old.head_bias[:0]).grow(len(weights), rng.child("branch"))
        wide = old.grow(len(weights), rng.child("old"))
        right = torch.cat([torch.zeros_like(old.head), fresh.head[known:]])
        trainable = Boosted(
            old, fresh.trainable(), as_parameter(torch.cat([wide.head, right], 1)), as_parameter(wide.head_bias)
        )
        with torch.no_grad():
            fixed, known_width = old.fixed_rows(data.x), max(known, data.dimension)
            embedded = old.made_of(data.x, old.embed, data.dimension)
            target = old.made_of(data.x, lambda x: softened(old.logits(x), self.temperature), known_width)

        def loss(rows: Tensor) -> Tensor:
            both, alone = trainable.logits(taken(fixed, rows), taken(embedded, rows))
            right, soft = columns[rows], taken(target, rows)
            return session_loss(
                both, right, soft, temperature=self.temperature, share=self.distillation, weights=weights
            ) + session_loss(alone, right)

        leaves = [*trainable.new.tensors(), trainable.head, trainable.bias]
        self.fit_session(leaves, loss, data, owner="foster", rng=rng.child("fit"), tower=trainable.new.tower_tensors())
        return Boosted(old, trainable.new.detached(), trainable.head.detach(), trainable.bias.detach())

    def _compress(self, old: Net, teacher: Boosted, data: Features, weights: Tensor, rng: Stream) -> Net:
        trainable = old.grow(len(weights), rng.child("head")).trainable()

        def softened(x: Tensor) -> Tensor:
            fixed = old.fixed(x)
            soft = (teacher.logits(fixed, old.adapt(fixed))[0] / self.temperature).softmax(1) * weights
            return soft / soft.sum(1, keepdim=True)

        with torch.no_grad():
            fixed, soft = old.fixed_rows(data.x), old.made_of(data.x, softened, max(len(weights), data.dimension))

        def loss(rows: Tensor) -> Tensor:
            return F.cross_entropy(trainable.logits_of_fixed(taken(fixed, rows)) / self.temperature, taken(soft, rows))

        self.fit_session(
            trainable.tensors(), loss, data, owner="foster", rng=rng.child("fit"), tower=trainable.tower_tensors()
        )
        return trainable.detached()

    def score(self, state: Compressed, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return state.net.logits(queries)


def balance(counts: Tensor, beta: float) -> Tensor:
    """Return class weights (1 - beta) / (1 - beta^n) scaled to mean one, [c]; the effective number of n images.

    Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, arXiv:1901.05555, eq. 2. A class
    without images has no effective number; its weight is one, so that without exemplars nothing is rebalanced.
    """
    shown = counts > 0
    weights = (1 - beta) / (1 - beta ** counts.clamp(min=1).double())
    return torch.where(shown, weights / weights[shown].mean(), 1.0).float()
