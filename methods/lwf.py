"""Learning without forgetting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from bench.core.registry import method
from bench.core.task import Task
from bench.functional.stored_rows import taken
from bench.learning.incremental import SessionTraining, new_images
from bench.learning.incremental_net import Net
from bench.learning.session_loss import softened
from bench.utils.random import Stream


@method(
    "lwf",
    paper="Li & Hoiem, Learning without Forgetting, TPAMI 2018, arXiv:1606.09282",
    equation="in class-incremental form: CE on the new classes' logits + 3 x distillation at T = 2",
    adapted="frozen features: trains a residual adapter and a head, not the encoder (depth=full does); one head over "
    "all classes, since class-incremental queries do not say from which session they are; "
    "optimiser, rate, epochs, the adapter and how the head starts are ours, chosen as docs/selection.md says",
    needs=("images",),
)
@dataclass(frozen=True, kw_only=True)
class LwF(SessionTraining):
    """Train on new images alone, with distillation that keeps the old classes' logits on them.

    The cross-entropy runs over the logits of the session's own classes, the distillation over those of all earlier
    ones. No image is kept.
    """

    lr: Annotated[float, Gt(0)] = 3e-3
    temperature: Annotated[float, Gt(0)] = 2.0
    distillation: Annotated[float, Ge(0)] = 3.0

    def build(self, task: Task, *, rng: Stream) -> Net:
        """Return the network after the first session."""
        return self._session(self.initial(task, rng.child("init")), None, task, rng)

    def extend(self, state: Net, task: Task, *, rng: Stream) -> Net:
        """Return the network after a further session."""
        return self._session(state.grow(task.n_classes, rng.child("init")), state, task, rng)

    def _session(self, net: Net, old: Net | None, task: Task, rng: Stream) -> Net:
        data = new_images(task)
        first = 0 if old is None else len(old.head)
        columns = task.columns(data.labels) - first
        trainable = self.in_training(net)
        with torch.no_grad():
            fixed, target = net.fixed_rows(data.x), None
            if old is not None:
                wide = max(len(old.head), data.dimension)
                target = old.made_of(data.x, lambda x: softened(old.logits(x), self.temperature), wide)

        def loss(rows: Tensor) -> Tensor:
            x, soft = taken(fixed, rows), None if target is None else taken(target, rows)
            return trainable.session_loss(
                x, columns[rows], soft, temperature=self.temperature, share=self.distillation, first=first
            )

        self.fit_session(
            trainable.tensors(), loss, data, owner="lwf", rng=rng.child("fit"), tower=trainable.tower_tensors()
        )
        return trainable.detached()

    def score(self, state: Net, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return state.logits(queries)
