"""Shared parameters and session training of the class-incremental trainers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.features import Features
from bench.core.state_bytes import nbytes
from bench.core.task import Task
from bench.encoders.image_tower import Tower
from bench.functional.classwise import normalise
from bench.learning.exemplars import cut, keep_features
from bench.learning.flat_net import FlatNet
from bench.learning.incremental_net import Depth, Net
from bench.learning.training import LAST_EPOCH, epochs_of, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream

Objective = Callable[[Tensor], Tensor]
"""Takes int64 row numbers [b] on the device of the data and returns the mean loss of those rows."""


@dataclass(frozen=True, kw_only=True)
class SessionTraining:
    """Parameters of a session's training, all of them ours: the papers train encoders, from images.

    Adam with a cosine to zero and float32 weights, features brought to norm 10, an adapter that starts as the identity,
    a new class's row of the head drawn uniformly in +-1/sqrt(d). The founding paper (Kang et al., TMLR 2025) tuned
    learning rate and epochs of each baseline and prints neither; here both were chosen once, by the protocol of
    docs/selection.md. Nothing is held out of a session to choose an epoch: a class may have a single exemplar.

    Attributes
    ----------
    depth : str
        ``head`` trains a linear head on the frozen features, ``adapter`` a residual MLP before it as well, ``full``
        the encoder's image tower and a head, from pixels.
    hidden : int
        Width of the adapter's hidden layer.
    tower_lr : float
        Learning rate of the image tower with ``full``; its weights are trained already, the head's are not.
    min_steps : int
        A session with few images is given as many epochs more as this many batches take: an epoch of ten images is
        one step.
    """

    depth: Depth = "adapter"
    hidden: Annotated[int, Ge(1)] = 256
    lr: Annotated[float, Gt(0)] = 1e-2
    tower_lr: Annotated[float, Gt(0)] = 1e-5
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    epochs: Annotated[int, Ge(1)] = 10
    min_steps: Annotated[int, Ge(0)] = 60
    batch: Annotated[int, Ge(1)] = 128
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    @property
    def wants_pixels(self) -> bool:
        """Whether it receives flattened pixels instead of features."""
        return self.depth == "full"

    def initial(self, task: Task, rng: Stream) -> Net:
        """Return an untrained network for the classes of the first session; a tower starts as the encoder's own."""
        tower, d = None, task.dimension
        if self.depth == "full":
            assert task.pictures is not None
            task.pictures.check()
            tower = Tower.of(task.pictures.encoder, task.device)
            d = tower.dimension
        hidden = self.hidden if self.depth == "adapter" else 0
        return Net.initial(d, task.n_classes, hidden=hidden, device=task.device, rng=rng, tower=tower)

    def in_training(self, net: Net) -> Net | FlatNet:
        """Return a copy of a network whose weights an optimiser may change.

        As one vector, but for what autograd is needed for: an image tower, and a loss in lower precision.
        """
        return net.trainable() if net.tower or self.training_options.precision != "fp32" else FlatNet(net)

    def describe(self, state: Any) -> dict[str, Any]:
        """Return that nothing was chosen: the weights after the last epoch count, never those before the first."""
        return dict(LAST_EPOCH)

    def fit_session(
        self,
        weights: Sequence[Tensor],
        loss: Objective,
        data: Features,
        *,
        owner: str,
        rng: Stream,
        tower: Sequence[Tensor] = (),
    ) -> None:
        """Train leaf tensors in place on the rows of a session by Adam, learning rates falling along a cosine.

        Parameters
        ----------
        tower : sequence of Tensor
            Leaf tensors of an image tower, which are trained at ``tower_lr``.
        """
        groups: list[dict[str, Any]] = [{"params": list(weights)}]
        if tower:
            groups.append({"params": list(tower), "lr": self.tower_lr})
        fit(
            [*weights, *tower],
            lambda rows: loss(rows.to(data.x.device)),
            len(data),
            owner=owner,
            epochs=max(self.epochs, epochs_of(self.min_steps, len(data), self.batch)),
            batch=self.batch,
            cosine=True,
            optimiser=torch.optim.Adam(groups, lr=self.lr, weight_decay=self.weight_decay, fused=True),
            rng=rng,
            options=self.training_options,
        )


def new_images(task: Task) -> Features:
    """Return the labelled images that a session brings."""
    items = task.labelled
    return Features(items.x, items.labels, items.ids, task.support.class_names)


def joined(exemplars: Features | None, new: Features) -> Features:
    """Return the exemplars of earlier sessions and the new images."""
    return new if exemplars is None else Features.concat([exemplars, new])


def choose_exemplars(net: Net, exemplars: Features | None, new: Features, task: Task, *, beside: int = 0) -> Features:
    """Return the exemplars after a session, best first within a class.

    New classes are herded in the network's own space; old classes lose the tail of their lists. A budget in bytes
    holds the network as well, and ``beside``, the bytes that a method keeps besides the two.
    """
    quota = task.quota(reserved=nbytes(net) + beside)
    chosen = keep_features(new, quota, lambda x: normalise(net.embed(x)))
    return chosen if exemplars is None else Features.concat([exemplars.take(cut(exemplars.labels, quota)), chosen])
