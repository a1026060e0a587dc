"""The one training loop: seeded, with early stopping on a validation score, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from bench.cost.meter import Repeats, charge_spent, spent_so_far
from bench.device.precision import loss_precision
from bench.learning.checkpoint import Checkpoint, CheckpointWriter
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from bench.utils.random import Stream

LAST_EPOCH = MappingProxyType({"chosen_on": "nothing", "untrained_start_chosen": False})
"""What a record says of a training that keeps the weights after its last epoch, and never those before the first."""


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes
    ----------
    epochs : int
        Epochs run.
    best_epoch : int
        The epoch whose weights were kept, from 1; 0 are the initial ones.
    losses : tuple of float
        Mean training loss of each epoch.
    scores : tuple of float
        Validation score before training and after each epoch; empty without validation.
    """

    epochs: int
    best_epoch: int
    losses: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class WarmUp:
    """The first steps of a training, at smaller rates.

    Attributes
    ----------
    steps : int
    start : float
        The learning rate of the first step.
    rising : bool
        Whether it rises from there in even steps, or stays until they are over.
    """

    steps: int
    start: float = 1e-5
    rising: bool = True


def epochs_of(steps: int, n: int, batch: int) -> int:
    """Return how many whole epochs over n rows take so many steps at least; 0 without rows."""
    return math.ceil(steps / math.ceil(n / batch)) if n else 0


def fit(
    weights: Sequence[Tensor],
    loss: Callable[[Tensor], Tensor],
    n: int,
    *,
    owner: str,
    optimiser: torch.optim.Optimizer,
    epochs: int,
    batch: int,
    rng: Stream,
    cosine: bool = False,
    warm_up: WarmUp | None = None,
    drop: tuple[int, float] | None = None,
    validate: Callable[[], float] | None = None,
    patience: int | None = None,
    start_counts: bool = True,
    options: TrainingOptions = DEFAULT_OPTIONS,
    remedy: str | None = None,
) -> Fitted:
    """Minimise a loss over ``n`` rows by mini-batches, in place.

    Parameters
    ----------
    weights : sequence of Tensor
        The leaf tensors that the optimiser changes; afterwards those of the best validation epoch, or of the last
        epoch without validation.
    loss : callable
        Takes int64 row numbers [b] and returns the mean loss of those rows. One that requires no gradient has left
        that of the weights with them, in the place of that of the step before.
    n : int
        Without rows nothing is trained.
    owner : str
        The method's name, for the message when training diverges.
    cosine : bool
        Let the learning rate fall to zero along half a cosine.
    warm_up : WarmUp, optional
        The first steps, with ``cosine``, which begins when they are over.
    drop : tuple of int and float, optional
        After so many epochs the learning rate is multiplied by the factor, for all that follow; not with ``cosine``.
    validate : callable, optional
        Returns a score, larger is better; asked before training and after each epoch. Ties keep the earlier.
    patience : int, optional
        Stop after this many epochs without a better score.
    start_counts : bool
        Whether the initial weights are kept if no epoch is better; otherwise any epoch counts as better than they.
    options : TrainingOptions
        What the run asks of its trainings.
    remedy : str, optional
        What to do when training diverges; a lower learning rate unless said.

    Raises
    ------
    BenchError
        If the loss becomes NaN or infinite.
    """
    if not n:
        return Fitted(0, 0, (), ())
    a_epoch = math.ceil(n / batch)
    schedule = _schedule(optimiser, epochs * a_epoch, warm_up) if cosine else _dropping(optimiser, a_epoch, drop)
    keeper = _keeper(options, weights, owner, optimiser, rng, (n, epochs, batch, cosine, patience))
    begun = spent_so_far()
    left = keeper.load()
    alike = Repeats(left.repeats if left else None)
    if left is None:
        losses: list[float] = []
        scores = [validate()] if validate else []
        best_epoch, best_weights = 0, _copies(weights) if validate else []
    else:
        losses, scores = list(left.losses), list(left.scores)
        best_epoch, best_weights = left.best_epoch, left.best_weights
        _put(weights, left.weights)
        optimiser.load_state_dict(left.optimiser)
        if schedule and left.schedule is not None:
            schedule.load_state_dict(left.schedule)
        charge_spent(left.spent)
    left_by_loss = False
    with _bar(owner, epochs, len(losses), shown=options.progress) as advance:
        for epoch in range(len(losses) + 1, epochs + 1):
            if validate and patience is not None and len(losses) - best_epoch >= patience:
                break
            # Once an epoch, and so are the losses asked for: whoever asks waits for all that the device has to do.
            order = torch.from_numpy(rng.child("order", epoch).permutation(n)).to(weights[0].device)
            values: list[Tensor] = []
            for start in range(0, n, batch):
                rows = order[start : start + batch]
                with alike.like(len(rows)):
                    if not left_by_loss:
                        optimiser.zero_grad()
                    with loss_precision(weights[0].device, options.precision):
                        value = loss(rows)
                    left_by_loss = not value.requires_grad
                    if not left_by_loss:
                        value.backward()
                    optimiser.step()
                if schedule:
                    schedule.step()
                values.append(value.detach())
            sizes = [min(batch, n - start) for start in range(0, n, batch)]
            means = torch.stack(values).tolist()
            losses.append(sum(mean * size for mean, size in zip(means, sizes, strict=True)) / n)
            if not math.isfinite(losses[-1]):
                lower = f"lower {owner}.lr (now {optimiser.param_groups[0]['lr']:g})"
                raise BenchError(f"training of {owner} diverged in epoch {epoch}; {remedy or lower}")
            if validate:
                with alike.like("validation"):
                    scores.append(validate())
                if scores[-1] > scores[best_epoch] or (epoch == 1 and not start_counts):
                    best_epoch, best_weights = epoch, _copies(weights)
            if keeper.due:
                keeper.save(
                    Checkpoint(
                        tuple(losses),
                        tuple(scores),
                        best_epoch,
                        _copies(weights),
                        best_weights,
                        optimiser.state_dict(),
                        schedule.state_dict() if schedule else None,
                        spent_so_far().since(begun),
                        dict(alike.known),
                    )
                )
            advance(losses[-1], scores)
    if validate:
        _put(weights, best_weights)
    return Fitted(len(losses), best_epoch if validate else len(losses), tuple(losses), tuple(scores))


def _schedule(
    optimiser: torch.optim.Optimizer, steps: int, warm_up: WarmUp | None
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule of the learning rates over so many steps."""
    if warm_up is None:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    first = [warm_up.start / group["lr"] for group in optimiser.param_groups]

    def factor(low: float, step: int) -> float:
        if step < warm_up.steps:
            return low + (1 - low) * step / warm_up.steps if warm_up.rising else low
        return (1 + math.cos(math.pi * (step - warm_up.steps) / max(1, steps - warm_up.steps))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, [partial(factor, low) for low in first])


def _dropping(
    optimiser: torch.optim.Optimizer, a_epoch: int, drop: tuple[int, float] | None
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """Return the schedule of learning rates that fall once; None if they never do."""
    return None if drop is None else torch.optim.lr_scheduler.MultiStepLR(optimiser, [drop[0] * a_epoch], drop[1])


def as_parameter(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor that an optimiser may change."""
    return tensor.detach().clone().requires_grad_(True)


def _copies(weights: Sequence[Tensor]) -> list[Tensor]:
    return [w.detach().clone() for w in weights]


def _put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)


def _keeper(
    options: TrainingOptions,
    weights: Sequence[Tensor],
    owner: str,
    optimiser: torch.optim.Optimizer,
    rng: Stream,
    settings: tuple[object, ...],
) -> CheckpointWriter:
    if options.checkpoints is None:
        return CheckpointWriter(None, options.checkpoint_seconds)
    # A checkpoint is only met by the training that left it: the same draws and steps, from the same initial weights.
    rates = [{key: value for key, value in group.items() if key != "params"} for group in optimiser.param_groups]
    about = [owner, rng.key().hex(), type(optimiser).__name__, rates, settings]
    name = digest(about, *(w.detach() for w in weights))[:20]
    return CheckpointWriter(options.checkpoints / f"{name}.safetensors", options.checkpoint_seconds)


@contextmanager
def _bar(owner: str, epochs: int, done: int, *, shown: bool) -> Iterator[Callable[[float, Sequence[float]], None]]:
    """Yield ``advance(loss, scores)``, which moves a bar below that of the run."""
    from tqdm import tqdm

    with tqdm(
        total=epochs,
        initial=done,
        desc=f"training {owner}",
        unit="epoch",
        position=1,
        leave=False,
        disable=None if shown else True,
        dynamic_ncols=True,
    ) as bar:

        def advance(loss: float, scores: Sequence[float]) -> None:
            bar.set_postfix_str(f"loss {loss:.3f}" + (f", validation {scores[-1]:.3f}" if scores else ""))
            bar.update(1)

        yield advance
