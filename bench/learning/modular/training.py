"""Training of the memory-modular learner, eq. 5, and the choices on validation data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.core.features import Features
from bench.learning.half_adam import HalfAdam, all_finite
from bench.learning.modular.forward import BLOCK, Asked, Forward
from bench.learning.modular.state import Modular, Weights
from bench.learning.training import as_parameter, fit
from bench.learning.training_options import TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.random import Stream

IMAGE_WEIGHTS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.0, 1.5, 2.0)
"""What ``auto`` chooses among; of equals the first."""
SCALES = tuple(8 * 2 ** (n / 2) for n in range(11))
"""What cosines are multiplied by for a validation loss, of which the least counts; 8 to 256."""
Criterion = Literal["loss", "accuracy"]
_EPS = 1e-6
_LEARNT = 1e-3
"""A loss below which gradients may all be zero because nothing is left to learn."""


@dataclass(frozen=True, eq=False)
class Check:
    """What epochs and image weights are chosen on: images, their columns, and the state they are scored against.

    ``what`` names it in the record, and ``of_others`` says that they are of other classes than the answers are for.
    """

    state: Modular
    images: Features
    targets: Tensor
    what: str
    of_others: bool = False


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the blocks are trained; the fields are parameters of :class:`bench.methods.mml.MML`."""

    image_weight: float | Literal["auto"]
    choose_by: Criterion
    logit_scale: float
    lr: float
    weight_decay: float
    batch: int
    start_counts: bool
    doubt: float
    options: TrainingOptions

    def fit(
        self,
        forward: Forward,
        state: Modular,
        images: Features,
        targets: Tensor,
        check: Check | None,
        *,
        epochs: int,
        patience: int | None,
        on: str,
        rng: Stream,
    ) -> Weights:
        """Return the weights of a state trained on labelled images, from the best epoch on what ``check`` holds.

        Parameters
        ----------
        targets : int64 Tensor [n]
            The column of each image's class.
        check : Check, optional
            Without it nothing is chosen: the last epoch counts, and both branches weigh the same under ``auto``.
        on : str
            What the images are, for the record.

        Raises
        ------
        BenchError
            If weights or moments leave the range of float16, all gradients underflow there, or the loss is not finite.
        """
        asked = forward.ask(state, images.x, images)
        judge = None if check is None else _Judge(forward, check, self.choose_by)
        start = self._weighed(state.weights, judge)
        among = len(IMAGE_WEIGHTS) if judge is not None and self.image_weight == "auto" else 1
        if judge is not None:
            start = replace(start, chosen_on=judge.check.what, epoch=0, tried=among)
        # Where nothing is retrieved, as by a text memory without texts, no weight takes part.
        idle = forward.integration == "attention" and asked.image is None and asked.text is None
        if not forward.trainable or idle or not epochs or not len(images):
            return start
        trainable = start.map(as_parameter)
        leaves = trainable.tensors()
        optimiser = self._optimiser(leaves)
        last = [torch.zeros(())]

        def in_range() -> None:
            if not isinstance(optimiser, HalfAdam):
                return
            if optimiser.overflowed or not all_finite(leaves):
                raise BenchError(f"training of mml overflowed in float16; {self._half_remedy}")
            if optimiser.idle and float(last[0]) > _LEARNT:
                raise BenchError(
                    "training of mml stands still: all gradients underflow to zero in float16; raise mml.logit_scale "
                    f"(now {self.logit_scale:g}), or set mml.precision=float32"
                )

        def validated(judge: _Judge) -> float:
            in_range()
            return judge.value(trainable)

        def loss(rows: Tensor) -> Tensor:
            rows = rows.to(asked.f.device)
            value = F.cross_entropy(self.logit_scale * forward.scores(state, trainable, asked, rows), targets[rows])
            last[0] = value.detach()
            return value

        done = fit(
            leaves,
            loss,
            len(images),
            owner="mml",
            epochs=epochs,
            batch=self.batch,
            patience=patience,
            optimiser=optimiser,
            validate=None if judge is None else lambda: validated(judge),
            start_counts=self.start_counts,
            rng=rng.child("fit"),
            options=self.options,
            remedy=self._half_remedy if isinstance(optimiser, HalfAdam) else None,
        )
        in_range()
        # The start with each image weight, the epochs with the best of these, and the best epoch with all others.
        tried = 1 if judge is None else among * self.start_counts + done.epochs + among - 1
        trained = replace(trainable.map(torch.Tensor.detach), trained_on=on, epoch=done.best_epoch, tried=tried)
        trained = self._weighed(trained, judge)
        doubtful = judge is not None and judge.check.of_others and self.start_counts
        if judge is not None and doubtful and not judge.prefers(trained, start, self.doubt):
            return replace(start, trained_on=on, tried=tried)
        return trained

    @property
    def _half_remedy(self) -> str:
        names = ("logit_scale", "lr", "weight_decay", *(("image_weight",) if self.image_weight != "auto" else ()))
        now = ", ".join(f"mml.{name} (now {getattr(self, name):g})" for name in names)
        return f"lower {now}, or set mml.precision=float32"

    def _optimiser(self, leaves: list[Tensor]) -> torch.optim.Optimizer:
        if leaves[0].dtype == torch.float16:
            return HalfAdam(leaves, lr=self.lr, eps=_EPS, weight_decay=self.weight_decay)
        return torch.optim.Adam(leaves, lr=self.lr, eps=_EPS, weight_decay=self.weight_decay, fused=True)

    def _weighed(self, weights: Weights, judge: _Judge | None) -> Weights:
        """Return weights with the image weight that is set, or the best one on validation data."""
        if self.image_weight != "auto":
            return replace(weights, image_weight=self.image_weight)
        return replace(weights, image_weight=1.0 if judge is None else judge.image_weight(weights))


class _Judge:
    """Judges weights on validation data, whose neighbours are found once."""

    def __init__(self, forward: Forward, check: Check, by: Criterion) -> None:
        self.check, self._forward, self._by = check, forward, by
        self._asked: Asked = forward.ask(check.state, check.images.x)
        n = len(check.images)
        self._rows = [slice(a, min(n, a + BLOCK)) for a in range(0, n, BLOCK)]

    @torch.no_grad()
    def value(self, weights: Weights) -> float:
        """Return how good the answers are; larger is better."""
        parts = [self._forward.scores(self.check.state, weights, self._asked, rows) for rows in self._rows]
        return float(self._value(torch.cat(parts)))

    @torch.no_grad()
    def image_weight(self, weights: Weights) -> float:
        """Return the best image weight."""
        parts = [self._forward.cosines(self.check.state, weights, self._asked, rows) for rows in self._rows]
        if any(part is None for part in parts[0]):
            return 1.0
        image, text = (torch.cat([p for p in side if p is not None]) for side in zip(*parts, strict=True))
        values = torch.stack([self._value(w * image + text) for w in IMAGE_WEIGHTS]).tolist()
        return IMAGE_WEIGHTS[values.index(max(values))]

    @torch.no_grad()
    def prefers(self, weights: Weights, start: Weights, doubt: float) -> bool:
        """Return whether weights are surely better than those they started from, over classes.

        Each class counts by the mean over its images, and the differences of classes are tested against zero by
        Student's one-sided paired t: other classes are what the answer is for. A single class shows nothing.
        """
        targets, each = self.check.targets, []
        for some in (start, weights):
            parts = [self._forward.scores(self.check.state, some, self._asked, rows) for rows in self._rows]
            each.append(self._values(torch.cat(parts)))
        _, columns, counts = targets.unique(return_inverse=True, return_counts=True)
        gains = each[0].new_zeros(len(counts)).index_add_(0, columns, each[1] - each[0]) / counts
        if len(counts) < 2 or float(gains.mean()) <= 0:
            return False
        from scipy.special import stdtr

        error = float(gains.std()) / len(counts) ** 0.5
        return error == 0 or float(stdtr(len(counts) - 1, -float(gains.mean()) / error)) <= doubt

    def _value(self, scores: Tensor) -> Tensor:
        """Return the share of right answers, or the negative loss at the scale where that is least."""
        return self._values(scores).mean()

    def _values(self, scores: Tensor) -> Tensor:
        """Return the same of each image, [n], float64."""
        if self._by == "accuracy":
            return (scores.argmax(1) == self.check.targets).double()
        losses = [F.cross_entropy(scale * scores, self.check.targets, reduction="none").double() for scale in SCALES]
        return -min(losses, key=lambda one: float(one.mean()))
