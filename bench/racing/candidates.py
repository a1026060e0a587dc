"""Methods and settings as candidates, and their answers to labelled images that a fit has not seen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.classifier.data import memory_of, named, task_of
from bench.classifier.model import chosen_method, fitted
from bench.core.protocols import Method
from bench.core.scored import scored
from bench.core.task import Task
from bench.encoders.encoder import Encoder
from bench.learning.holdout import apart, digest_order
from bench.racing.race import Outcome, race
from bench.runner.tuning import configurations
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from bench.utils.time_limit import time_limit

METHODS = ("protonet", "slda", "gda", "knn", "linear-probe", "zero-shot")
"""What is raced unless methods are named: quick ones first."""
ROUNDS = 5
"""Parts of the labelled images; each is answered by fits to the others."""
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Field:
    """Who races on what: candidates by name, the task of all labelled images, and the round of each image, int [n]."""

    candidates: Mapping[str, Method]
    task: Task
    round_of: NDArray[np.int64]
    seed: int
    device: str

    def answer(self, name: str, number: int) -> NDArray[np.bool_]:
        """Return whether each image of a round is answered rightly by a candidate that was fitted to the others."""
        rest, held = apart(self.task, torch.from_numpy(self.round_of == number))
        method, state = fitted(self.candidates[name], rest, seed=self.seed, label=name, device=self.device)
        with torch.no_grad():
            scores = torch.cat([scored(method, state, part, name) for part in held.x.float().split(_BLOCK)])
        return (scores.argmax(1) == self.task.columns(held.labels)).numpy()


def field(
    data: str | Path,
    encoder: Encoder | None,
    *,
    methods: Sequence[str] = METHODS,
    settings: int = 1,
    memory: Sequence[str] = (),
    seed: int = 0,
    device: str = "cpu",
) -> Field:
    """Return the candidates of a race on the labelled images of a data set.

    Parameters
    ----------
    data, encoder
        As :class:`bench.classifier.Classifier` takes them.
    methods : sequence of str
        Names, with parameters as ``knn:k=16``.
    settings : int
        Of each method, its defaults and so many less one of the other configurations that it declares.

    Raises
    ------
    BenchError
        For an unknown method, data that do not fit together, and data of which no image can be held out.
    """
    read = named(data, encoder)
    others = [named(one, encoder) for one in memory]
    task = task_of(read.dataset, memory_of(others, read.dataset) if others else None)
    candidates: dict[str, Method] = {}
    for wanted in methods:
        label, method = chosen_method(wanted)
        for values, made in configurations(method, settings, Stream(seed).child(method.name)):
            tail = ",".join(f"{key}={value}" for key, value in values.items())
            candidates[f"{label}({tail})" if tail else label] = made
    if len(candidates) < 2:
        raise BenchError("a race needs two candidates; name more --methods, or more --settings")
    round_of = rounds(task)
    if not (round_of >= 0).any():
        raise BenchError(
            f"{read.dataset.name} has no class with two labelled images, so none can be held out to race on; add images"
        )
    return Field(candidates, task, round_of, seed, device)


def rounds(task: Task) -> NDArray[np.int64]:
    """Return the round of each labelled image, int [n]; -1 for the only image of a class, which is never held out.

    The images of each class are dealt to the rounds in the order of their ids' hashes, so that no round takes more than
    half of a class.
    """
    columns = task.columns(task.support.labels).numpy()
    order = digest_order(task.support.ids).numpy()
    found = np.full(len(columns), -1, dtype=np.int64)
    for column in np.unique(columns):
        rows = order[columns[order] == column]
        if len(rows) > 1:
            # Small classes do not all begin with the first round.
            found[rows] = (np.arange(len(rows)) + column) % ROUNDS
    return found


def run(entered: Field, seconds: float) -> Outcome:
    """Race for at most some seconds, of which the time of the longest fit is kept for the last one.

    A fit that is still going when its time is over is stopped, where the system can do that
    (:func:`bench.utils.time_limit.time_limit`), and its candidate has no answers in that round.
    """
    start = time.monotonic()
    there = sorted(set(entered.round_of[entered.round_of >= 0].tolist()))

    longest = 0.0

    def time_left(so_far: float) -> bool:
        nonlocal longest
        longest = so_far
        return time.monotonic() - start + 2 * so_far < seconds

    def answer(name: str, number: int) -> NDArray[np.bool_]:
        with time_limit(start + seconds - longest - time.monotonic()):
            return entered.answer(name, there[number])

    return race(
        list(entered.candidates),
        len(there),
        answer,
        time_left=time_left,
        clock=time.monotonic,
    )
