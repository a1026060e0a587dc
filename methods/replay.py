"""Experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from bench.core.features import Features
from bench.core.registry import method
from bench.core.task import Task
from bench.functional.stored_rows import taken
from bench.learning.incremental import SessionTraining, choose_exemplars, joined, new_images
from bench.learning.incremental_net import Net
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """The network and the exemplars, best first within a class."""

    net: Net
    exemplars: Features


@method(
    "replay",
    paper="Ratcliff, Connectionist Models of Recognition Memory: Constraints Imposed by Learning and Forgetting "
    "Functions, Psychological Review 97, 1990",
    equation="cross-entropy on new images and exemplars",
    adapted="frozen features: trains a residual adapter and a head, not the encoder (depth=full does); exemplars "
    "chosen by herding, as class-incremental benchmarks do; "
    "optimiser, rate, epochs, the adapter and how the head starts are ours, chosen as docs/selection.md says",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class Replay(SessionTraining):
    """Train one classifier on the new images and the exemplars of earlier sessions."""

    hidden: Annotated[int, Ge(1)] = 64

    def build(self, task: Task, *, rng: Stream) -> Rehearsed:
        """Return the state after the first session."""
        return self._session(self.initial(task, rng.child("init")), None, task, rng)

    def extend(self, state: Rehearsed, task: Task, *, rng: Stream) -> Rehearsed:
        """Return the state after a further session."""
        return self._session(state.net.grow(task.n_classes, rng.child("init")), state.exemplars, task, rng)

    def _session(self, net: Net, exemplars: Features | None, task: Task, rng: Stream) -> Rehearsed:
        new = new_images(task)
        data = joined(exemplars, new)
        columns = task.columns(data.labels)
        trainable, fixed = self.in_training(net), net.fixed_rows(data.x)

        def loss(rows: Tensor) -> Tensor:
            return trainable.session_loss(taken(fixed, rows), columns[rows])

        self.fit_session(
            trainable.tensors(), loss, data, owner="replay", rng=rng.child("fit"), tower=trainable.tower_tensors()
        )
        net = trainable.detached()
        return Rehearsed(net, choose_exemplars(net, exemplars, new, task))

    def score(self, state: Rehearsed, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return state.net.logits(queries)
