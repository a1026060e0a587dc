"""RAPF: a linear adapter of the image features, without exemplars, fused by what each session needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.classwise import class_counts, class_means, normalise, rows_of_classes
from bench.functional.stored_rows import ManyRows, made_rows
from bench.learning.class_texts import LOGIT_SCALE, prompt_matrix
from bench.learning.training import LAST_EPOCH, as_parameter, fit
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.random import Stream
from bench.utils.room import require_room

_GROUPS = 64
"""Classes that are sampled at a time: 64 MiB of factors at d = 512."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """The adapter, the class texts, and a Gaussian of each class.

    Attributes
    ----------
    adapter : Tensor [d, d]
        A; a feature x becomes A x.
    texts : Tensor [c, d]
    means : Tensor [c, d]
    factors : Tensor [c, d, d]
        Cholesky factor of each covariance.
    """

    adapter: Tensor = field(metadata=WEIGHTS)
    texts: Tensor = field(metadata=STATISTICS)
    means: Tensor = field(metadata=STATISTICS)
    factors: Tensor = field(metadata=STATISTICS)


@method(
    "rapf",
    paper="Huang et al., Class-Incremental Learning with CLIP: Adaptive Representation Adjustment and Parameter "
    "Fusion, ECCV 2024, arXiv:2407.14143",
    equation="logits = 100 cos(A x, t); CE + hinge on samples of old classes near new ones; "
    "A = U (m P + (1 - m) S V), P = U' A_new, m = min(1, |P - S V| / max + 0.6)",
    adapted="the matrix starts as the identity, where the code draws it; features have the norm that packs give them, "
    "where the code takes them as its encoder does; what an old class is replayed by is drawn once for all epochs, as "
    "many as there are batches of; a class with one image has no covariance but the code's 1e-4 I; the rate falls by "
    "ten after the fourth epoch, as in LAMDA-CL/C3Box",
    needs=("images", "prompts"),
)
@dataclass(frozen=True, kw_only=True)
class RAPF:
    """Train one matrix by cross-entropy to the class texts, with Gaussian samples of old classes, and fuse it.

    As the official code has it (linlany/RAPF, commit 81d41df, continual_clip/models.py): no exemplars are kept. In each
    batch of a later session are ``replay`` samples of each of two old classes. Of old and new classes whose texts are
    nearer than ``near`` in Euclidean distance, ``pairs`` samples of the old one are held to relu(cos to the new text -
    cos to the own + margin). Afterwards the old matrix is decomposed, A = U S V, and the new one enters where it
    changed most: |P - S V| over its largest entry, plus ``floor``, at most 1.
    """

    near: Annotated[float, Ge(0)] = 0.55
    margin: float = 0.1
    replay: Annotated[int, Ge(0)] = 20
    pairs: Annotated[int, Ge(0)] = 40
    floor: Annotated[float, Ge(0)] = 0.6
    ridge: Annotated[float, Gt(0)] = 1e-4
    lr: Annotated[float, Gt(0)] = 1e-3
    epochs: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 128
    training_options: TrainingOptions = field(default=DEFAULT_OPTIONS, metadata={"param": False})

    def build(self, task: Task, *, rng: Stream) -> Adapted:
        """Return the adapter after the first session; it starts as the identity."""
        d = task.dimension
        none = torch.zeros(0, d, device=task.device)
        start = torch.eye(d, device=task.device)
        return self._session(Adapted(start, none, none, torch.zeros(0, d, d, device=task.device)), task, rng)

    def extend(self, state: Adapted, task: Task, *, rng: Stream) -> Adapted:
        """Return the adapter after a further session, fused with the one before it."""
        return self._session(state, task, rng)

    def _session(self, old: Adapted, task: Task, rng: Stream) -> Adapted:
        texts, items = prompt_matrix(task), task.labelled
        assert texts is not None
        x, columns, known = made_rows(items.x, torch.Tensor.float), task.columns(items.labels), len(old.means)
        adapter = as_parameter(old.adapter)
        batches = max(1, -(-len(x) // self.batch))
        replay_x, replay_y = self._replayed(old, batches, rng.child("replay"))
        hard_x, own, new = self._hard(old, texts, known, rng.child("pairs"))
        size = max(1, len(replay_x) // batches)

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(x.device)
            # The batch's share of what is replayed goes with its first row, so that every epoch mixes them anew.
            at = (rows[:1] % batches) * size + torch.arange(size, device=x.device) if len(replay_x) else rows[:0]
            z, y = torch.cat([x[rows], replay_x[at]]), torch.cat([columns[rows], replay_y[at]])
            value = F.cross_entropy(LOGIT_SCALE * F.normalize(z @ adapter.T, dim=1) @ texts.T, y)
            if not len(hard_x):
                return value
            moved = F.normalize(hard_x @ adapter.T, dim=1)
            gap = (moved * texts[new]).sum(1) - (moved * texts[own]).sum(1) + self.margin
            return value + F.relu(gap).mean()

        fit(
            [adapter],
            loss,
            len(x),
            owner="rapf",
            optimiser=torch.optim.Adam([adapter], lr=self.lr),
            epochs=self.epochs,
            batch=self.batch,
            rng=rng.child("fit"),
            drop=(4, 0.1),
            options=self.training_options,
        )
        means, factors = self._gaussians(x, columns, task.n_classes)
        if known:
            means, factors = torch.cat([old.means, means[known:]]), torch.cat([old.factors, factors[known:]])
        fused = fuse(old.adapter, adapter.detach(), self.floor) if known else adapter.detach()
        return Adapted(fused, texts, means, factors)

    def _gaussians(self, x: ManyRows, columns: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Return the mean and the Cholesky factor of the covariance of each class, [c, d] and [c, d, d]."""
        means, d = class_means(x, columns, n_classes), x.shape[1]
        require_room(
            4 * n_classes * d * d,
            what=f"rapf's covariances of {n_classes:,} classes",
            instead="give it fewer classes, or take slda, whose classes share one",
            device=x.device,
        )
        counts = (class_counts(columns, n_classes) - 1).clamp(min=1).view(-1, 1, 1)
        ridge = self.ridge * torch.eye(d, device=x.device)
        factors = means.new_empty(n_classes, d, d)
        for c, rows in enumerate(rows_of_classes(columns, n_classes)):
            gaps = x[rows] - means[c]
            torch.mm(gaps.T, gaps, out=factors[c])
        # Some at a time: those of all classes are as large as the state.
        for some, count in zip(factors.split(_GROUPS), counts.split(_GROUPS), strict=True):
            some.copy_(torch.linalg.cholesky(some / count + ridge))
        return means, factors

    def _replayed(self, old: Adapted, batches: int, rng: Stream) -> tuple[Tensor, Tensor]:
        """Return samples of two old classes for each batch, [batches * 2 * replay, d], and their columns."""
        c = len(old.means)
        if not c or not self.replay:
            return old.means[:0], torch.zeros(0, dtype=torch.int64, device=old.means.device)
        draw = rng.child("classes").numpy()
        classes = torch.from_numpy(draw.integers(0, c, 2 * batches)).to(old.means.device)
        return self._sampled(old, classes, self.replay, rng), classes.repeat_interleave(self.replay)

    def _hard(self, old: Adapted, texts: Tensor, known: int, rng: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """Return samples of old classes near new ones, and the columns of the old and the new class of each."""
        none = torch.zeros(0, dtype=torch.int64, device=texts.device)
        if not known or not self.pairs:
            return texts[:0], none, none
        own, new = (torch.cdist(texts[:known], texts[known:]) < self.near).nonzero().unbind(1)
        x = self._sampled(old, own, self.pairs, rng)
        return x, own.repeat_interleave(self.pairs), new.repeat_interleave(self.pairs) + known

    def _sampled(self, old: Adapted, classes: Tensor, count: int, rng: Stream) -> Tensor:
        """Return so many samples of the Gaussian of each class [g], [g count, d]."""
        noise = torch.randn(len(classes), count, old.means.shape[1], generator=rng.child("samples").torch())
        noise = noise.to(old.means.device)
        parts = [
            old.means[some].unsqueeze(1) + part @ old.factors[some].mT
            for some, part in zip(classes.split(_GROUPS), noise.split(_GROUPS), strict=True)
        ]
        return torch.cat(parts).flatten(0, 1) if parts else old.means[:0]

    def score(self, state: Adapted, queries: Tensor) -> Tensor:
        """Return logits [q, c]."""
        return LOGIT_SCALE * normalise(queries.float() @ state.adapter.T) @ state.texts.T

    def describe(self, state: Adapted) -> dict[str, Any]:
        """Return how far the adapter went from the identity."""
        eye = torch.eye(len(state.adapter), device=state.adapter.device)
        return {"moved": float((state.adapter - eye).norm() / eye.norm()), **LAST_EPOCH}


def fuse(old: Tensor, new: Tensor, floor: float) -> Tensor:
    """Return a new matrix fused into an old one, [d, d], in the old one's left singular vectors."""
    u, s, v = torch.linalg.svd(old)
    before = s.unsqueeze(1) * v
    after = u.T @ new
    changed = (after - before).abs()
    share = (changed / changed.max().clamp(min=1e-12) + floor).clamp(max=1)
    fused: Tensor = u @ (share * after + (1 - share) * before)
    return fused
