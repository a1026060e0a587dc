"""Random projections and ridge regression."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.certificate import Certificate, Edit
from bench.core.memory import Items
from bench.core.registry import method
from bench.core.state_bytes import STATISTICS, WEIGHTS
from bench.core.task import Task
from bench.functional.certificates_of_heads import one_removal
from bench.functional.classwise import class_counts, normalise
from bench.functional.left_out import RidgeWithout
from bench.functional.ridge import Normal, held_out_errors
from bench.learning.holdout import digest_order, hold_out
from bench.learning.unlearning import named
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream

_GRID = tuple(10.0**power for power in range(-8, 9))


@dataclass(frozen=True, eq=False)
class Projected:
    """The random projection [d, M], the normal equations, the head [M, c], and how its penalty came about."""

    projection: Tensor = field(metadata=WEIGHTS)
    normal: Normal
    weights: Tensor = field(metadata=WEIGHTS)
    counts: Tensor = field(metadata=STATISTICS)
    penalty: float
    held_out: int
    session: int


@method(
    "ranpac",
    paper="McDonnell et al., RanPAC: Random Projections and Pre-trained Models for Continual Learning, NeurIPS 2023, "
    "arXiv:2307.02251",
    equation="h = relu(x R); G += h'h; Q += h'y; W = (G + lambda I)^-1 Q; scores h W",
    adapted="no first-session adaptation of the encoder; features have unit norm, where the code leaves them as they "
    "are; lambda is chosen on a fifth of each class by the hashes of ids, where the code takes the last fifth of the "
    "shuffled session",
    needs=("images",),
    selection="support-heldout",
)
@dataclass(frozen=True, kw_only=True)
class RanPAC:
    """Ridge regression to one-hot targets on M rectified random projections.

    R is standard normal, drawn once; sums and the solution are in float64, the head in float32; there is no bias. The
    official code is RanPAC/RanPAC (commit 012927f, RanPAC.py).

    lambda is the power of ten, from 1e-8 to 1e8, with the least squared error, fitted on the present session, on a
    fifth of its images, which then take no part, or on those that the run gives (``--selection validation-split``); at
    most ``selection_items`` of either take part. Where no class can spare an image it is ``default_penalty``, the
    middle of the grid.
    """

    width: Annotated[int, Ge(1)] = 10000
    penalty: Annotated[float, Gt(0)] | None = None
    default_penalty: Annotated[float, Gt(0)] = 1.0
    selection_items: Annotated[int, Ge(2)] = 2000

    def build(self, task: Task, *, rng: Stream) -> Projected:
        """Return the state of one task."""
        draw = torch.randn(task.dimension, self.width, generator=rng.child("projection").torch())
        projection = draw.to(task.device)
        none, no_targets, counts = _rows(task, task.labelled.take([]), projection, task.n_classes)
        return self._grown(projection, Normal.of(none, no_targets), counts, task)

    def extend(self, state: Projected, task: Task, *, rng: Stream) -> Projected:
        """Return the state with a further session; lambda is chosen again on that session's images."""
        counts = F.pad(state.counts, (0, task.n_classes - len(state.counts)))
        return self._grown(state.projection, state.normal, counts, task)

    def _grown(self, projection: Tensor, normal: Normal, counts: Tensor, task: Task) -> Projected:
        """Return the state with a task's images, of which no more than M are projected at a time."""
        items = task.labelled
        if len(items) <= self.width:
            h, y, more = _rows(task, items, projection, task.n_classes)
            wide = h.double()
            kernel = wide @ wide.T
            penalty, held = self._choose(task, items, projection, lambda rows: (kernel[rows][:, rows], y[rows]))
            normal, counts = normal.plus(h, y, kernel), counts + more
            return Projected(projection, normal, normal.weights(penalty), counts, penalty, held, task.session)
        for rows in torch.arange(len(items)).split(self.width):
            h, y, more = _rows(task, items.take(rows), projection, task.n_classes)
            normal, counts = normal.plus(h, y), counts + more
        return self._of(projection, normal, counts, task, items)

    def forget(self, state: Projected, task: Task, ids: Collection[str]) -> Projected:
        """Return the state without the named images; lambda is chosen again except for an earlier session's task."""
        gone = named(task.labelled, task, ids)
        if not gone.any():
            return state
        h, y, counts = _rows(task, task.labelled.take(gone), state.projection, len(state.counts))
        normal, counts = state.normal.minus(h, y), state.counts - counts
        if task.session >= state.session:
            return self._of(state.projection, normal, counts, task, task.labelled.take(~gone))
        head = normal.weights(state.penalty)
        return Projected(state.projection, normal, head, counts, state.penalty, state.held_out, state.session)

    def _of(self, projection: Tensor, normal: Normal, counts: Tensor, task: Task, present: Items) -> Projected:
        def kernel_of(rows: Tensor) -> tuple[Tensor, Tensor]:
            h, y, _ = _rows(task, present.take(rows), projection, task.n_classes)
            wide = h.double()
            return wide @ wide.T, y

        penalty, held = self._choose(task, present, projection, kernel_of)
        return Projected(projection, normal, normal.weights(penalty), counts, penalty, held, task.session)

    def _choose(
        self, task: Task, present: Items, projection: Tensor, kernel_of: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[float, int]:
        """Return lambda and on how many images it was chosen; ``kernel_of`` gives h h' and targets of some images."""
        if self.penalty is not None:
            return self.penalty, 0
        split = task.choose_on
        if split is not None and len(split):
            return self._on_split(task, present, Items.of_features(split, "validation split"), projection)
        rows = digest_order(present.ids)[: self.selection_items]
        some = present.take(rows)
        test = hold_out(task.columns(some.labels), some.ids, share=0.2)
        if not bool(test.any()):
            return self.default_penalty, 0
        kernel, y = kernel_of(rows.to(present.labels.device))
        errors = held_out_errors(kernel, y, test, _GRID)
        return _GRID[errors.index(min(errors))], int(test.sum())

    def _on_split(self, task: Task, present: Items, split: Items, projection: Tensor) -> tuple[float, int]:
        """Return lambda as chosen on other images than the session's, and on how many."""
        some = [part.take(digest_order(part.ids)[: self.selection_items]) for part in (present, split)]
        rows = [_rows(task, part, projection, task.n_classes) for part in some]
        h, y = torch.cat([h for h, _, _ in rows]).double(), torch.cat([y for _, y, _ in rows])
        test = torch.arange(len(h), device=h.device) >= len(some[0])
        errors = held_out_errors(h @ h.T, y, test, _GRID)
        return _GRID[errors.index(min(errors))], len(some[1])

    def score(self, state: Projected, queries: Tensor) -> Tensor:
        """Return regressed targets [q, c]; a class without images gets minus infinity."""
        scores = torch.relu(normalise(queries) @ state.projection) @ state.weights
        return scores.masked_fill(state.counts == 0, -torch.inf)

    def certify(self, state: Projected, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return where one item that leaves changes an answer, exactly while lambda is held; others stand one."""
        if edit != "remove":
            raise Unsuitable("of ridge regression there is a rule for removed items alone")
        items = task.labelled
        if len(items) != int(state.counts.sum()) or len(items) > self.width:
            raise Unsuitable("its state keeps sums alone, and not the items that might be edited")
        h, y, _ = _rows(task, items, state.projection, len(state.counts))
        asked = torch.relu(normalise(queries) @ state.projection)
        without = RidgeWithout(h, y, state.penalty)
        last = y.bool() & (state.counts == 1)
        return Certificate(
            *one_removal(
                self.score(state, queries).double(),
                lambda rows: without(asked[rows]).masked_fill(last | (state.counts == 0), -torch.inf),
                len(items),
                most,
            )
        )

    def describe(self, state: Projected) -> dict[str, Any]:
        """Return lambda and on how many held-out images it was chosen."""
        tried = len(_GRID) if state.held_out else 1
        return {"penalty": state.penalty, "held_out": state.held_out, "configurations": tried}


def _rows(task: Task, items: Items, projection: Tensor, n_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return projected images [n, M], one-hot targets [n, c] and how many there are of each class, [c]."""
    columns = task.columns(items.labels)
    h = torch.relu(normalise(items.x) @ projection)
    return h, F.one_hot(columns, n_classes), class_counts(columns, n_classes)
