"""Random projections and ridge regression."""

from __future__ import annotations

from collections.abc import Collection
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
from bench.cost.shared import shared
from bench.functional.blocks import in_shared_blocks
from bench.functional.certificates_of_heads import one_removal
from bench.functional.classwise import class_counts, normalise
from bench.functional.left_out import RidgeWithout
from bench.functional.ridge import Rows, Sums, held_out_errors
from bench.learning.choosing import told_of_choice
from bench.learning.holdout import digest_order, hold_out
from bench.learning.unlearning import named
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream
from bench.utils.room import require_room

_GRID = tuple(10.0**power for power in range(-8, 9))
_ROWS = 1 << 10
"""Images that are projected at a time where there are more than M: 40 MiB at M = 10,000."""


@dataclass(frozen=True, eq=False)
class Projected:
    """The random projection [d, M], the normal equations, the head [M, c], and how its penalty came about."""

    projection: Tensor = field(metadata=WEIGHTS)
    normal: Rows | Sums
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
        n, width, c = len(task.labelled), self.width, task.n_classes
        require_room(
            8 * width * width + 20 * width * c if n > width else 16 * n * n + 4 * n * width,
            what=f"ranpac's system of {min(n, width):,} equations",
            instead="lower ranpac.width, or take slda",
            device=task.device,
        )
        shape, stream = (task.dimension, self.width), rng.child("projection")

        def draw() -> tuple[Tensor]:
            return (torch.randn(*shape, generator=stream.torch()).to(task.device),)

        (projection,) = shared(("normal", *shape, task.device, stream.key()), draw)
        none, nothing = projection.new_zeros(0, self.width), task.labelled.labels[:0]
        return self._grown(
            projection, Rows.of(none, nothing, task.n_classes), class_counts(nothing, task.n_classes), task
        )

    def extend(self, state: Projected, task: Task, *, rng: Stream) -> Projected:
        """Return the state with a further session; lambda is chosen again on that session's images."""
        counts = F.pad(state.counts, (0, task.n_classes - len(state.counts)))
        return self._grown(state.projection, state.normal, counts, task)

    def _grown(self, projection: Tensor, normal: Rows | Sums, counts: Tensor, task: Task) -> Projected:
        """Return the state with a task's images; where there are more than M they are projected a part at a time."""
        items, columns = task.labelled, task.columns(task.labelled.labels)
        counts, known = counts + class_counts(columns, task.n_classes), None
        if isinstance(normal, Rows) and len(normal.h) + len(items) <= self.width:
            new = Rows.of(_projected(items.x, projection), columns, task.n_classes)
            normal, known = normal.plus(new), new
        else:
            parts = zip(items.x.split(_ROWS), columns.split(_ROWS), strict=True)
            projected = ((_projected(x, projection), at) for x, at in parts)
            if isinstance(normal, Rows):
                normal = normal.summed().grown(projected, task.n_classes)
            else:
                normal = normal.plus(projected, task.n_classes)
        penalty, held = self._choose(task, items, projection, known)
        return Projected(projection, normal, normal.weights(penalty), counts, penalty, held, task.session)

    def forget(self, state: Projected, task: Task, ids: Collection[str]) -> Projected:
        """Return the state without the named images; lambda is chosen again except for an earlier session's task."""
        gone = named(task.labelled, task, ids)
        if not gone.any():
            return state
        items = task.labelled.take(gone)
        columns = task.columns(items.labels)
        normal = state.normal.minus(_projected(items.x, state.projection), columns)
        counts, penalty, held = state.counts - class_counts(columns, len(state.counts)), state.penalty, state.held_out
        if task.session >= state.session:
            penalty, held = self._choose(task, task.labelled.take(~gone), state.projection)
        session = max(task.session, state.session)
        return Projected(state.projection, normal, normal.weights(penalty), counts, penalty, held, session)

    def _choose(self, task: Task, present: Items, projection: Tensor, known: Rows | None = None) -> tuple[float, int]:
        """Return lambda and on how many images it was chosen; ``known`` are the rows of all those that are present."""
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
        rows = rows.to(present.labels.device)
        if known is None:
            h, y = _projected(some.x, projection), F.one_hot(task.columns(some.labels), task.n_classes)
            errors = held_out_errors(h, y, test, _GRID)
        else:
            kernel = known.kernel[rows][:, rows]
            errors = held_out_errors(known.h[rows], known.target[rows], test, _GRID, known=kernel)
        return _GRID[errors.index(min(errors))], int(test.sum())

    def _on_split(self, task: Task, present: Items, split: Items, projection: Tensor) -> tuple[float, int]:
        """Return lambda as chosen on other images than the session's, and on how many."""
        some = [part.take(digest_order(part.ids)[: self.selection_items]) for part in (present, split)]
        h = torch.cat([_projected(part.x, projection) for part in some])
        y = torch.cat([F.one_hot(task.columns(part.labels), task.n_classes) for part in some])
        test = torch.arange(len(h), device=h.device) >= len(some[0])
        errors = held_out_errors(h, y, test, _GRID)
        return _GRID[errors.index(min(errors))], len(some[1])

    def score(self, state: Projected, queries: Tensor) -> Tensor:
        """Return regressed targets [q, c]; a class without images gets minus infinity."""
        scores = in_shared_blocks(queries, _projected, [state.projection], lambda h: h @ state.weights)
        return scores.masked_fill(state.counts == 0, -torch.inf)

    def certify(self, state: Projected, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return where one item that leaves changes an answer, exactly while lambda is held; others stand one."""
        if edit != "remove":
            raise Unsuitable("of ridge regression there is a rule for removed items alone")
        items = task.labelled
        if len(items) != int(state.counts.sum()) or len(items) > self.width:
            raise Unsuitable("its state keeps sums alone, and not the items that might be edited")
        h, y = _projected(items.x, state.projection), F.one_hot(task.columns(items.labels), len(state.counts))
        asked = _projected(queries, state.projection)
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
        return {"penalty": state.penalty, **told_of_choice(state.held_out, tried, wanted=self.penalty is None)}


def _projected(x: Tensor, projection: Tensor) -> Tensor:
    """Return the rectified projections of images [n, d], [n, M]."""
    return (normalise(x) @ projection).relu_()
