"""The temperature of a method's scores, fitted by the harness on labelled images that the scored state did not see."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.protocols import Method, Spares
from bench.core.task import Session, Task
from bench.functional.conformal import ConformalSets
from bench.functional.temperature import fitted_temperature
from bench.learning.holdout import spared
from bench.runner.answers import check_scores
from bench.runner.handover import QUERY_BLOCK, Handed, Handover
from bench.runner.scoring import Scorer
from bench.runner.states import SessionState, build_session, session_stream
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream

_LEAST = 3
"""Labelled images that every class needs so that one can be spared."""
_SHARE, _MOST = 0.2, 8
"""Of the images of a class that are held out, and how many at most; one at least."""
_PROBLEMS = 20
"""Few-shot problems whose held-out images give one temperature for all."""

Scored = tuple[Tensor, Tensor]
"""Scores [n, c] and the right columns [n] of some images."""


@dataclass(frozen=True)
class Temperature:
    """A temperature and where it is from.

    Attributes
    ----------
    value : float or None
        None where none can be fitted; confidences are then softmax at the method's own scale.
    sets : ConformalSets or None
        Makes sets of classes; None without a temperature, for too few images, and where they are of other classes.
    source : str
        ``held-out support``, ``images held out of training``, ``validation split``, ``validation images``,
        ``validation classes``, or ``none:`` and why.
    seconds : float
        What it took.
    """

    value: float | None
    source: str
    seconds: float = 0.0
    sets: ConformalSets | None = None


class Calibrator:
    """Fits the temperature of one cell, session by session; nothing of it is charged to the method.

    In this order: on the validation split where the run chooses on it, by the very state that answers; on held-out
    support where every class has three images or more, by a second state built without them; on the validation images
    or classes that the scenario deals, by a state built on their memory. A method whose training leaves images out by
    itself (:class:`bench.core.protocols.Spares`) is not trained again for the second state: the same weights are
    plugged into a memory without those images.

    Parameters
    ----------
    method : Method
        As trained, if it trains.
    rng : Stream
        The method's.
    """

    def __init__(self, method: Method, handover: Handover, rng: Stream, label: str) -> None:
        self._method, self._handover, self._rng, self._label = method, handover, rng, label
        self._seed = handover.seed
        self._handed = Handed(label)
        self._validated: Temperature | None = None
        self._reduced: list[Session] = []
        self._held: list[Features] = []
        self._state: SessionState | None = None
        self._pooled: Temperature | None = None

    def fit(self, number: int, held: SessionState) -> Temperature:
        """Return the temperature for a session whose state has just been made; sessions come in order."""
        start, self._handed = time.perf_counter(), Handed(self._label)
        found = self._fit(number, held)
        return replace(found, seconds=time.perf_counter() - start)

    def _fit(self, number: int, held: SessionState) -> Temperature:
        episode = self._handover.episode
        session = episode.sessions[number]
        if session.task.choose_on is not None and len(session.task.choose_on):
            return self._fitted([self._scored(held, session.task, session.task.choose_on)], "validation split")
        why = _too_few(session.task)
        if why is None:
            try:
                if episode.independent:
                    self._pooled = self._pooled or self._problems()
                    return self._pooled
                own = isinstance(self._method, Spares) and bool(self._method.spared(held.state))
                source = "images held out of training" if own else "held-out support"
                return self._fitted([self._held_out(number, held if own else None)], source)
            except (Unsuitable, BenchError) as error:
                why = f"without held-out images the method {error}"
        check = episode.validation
        if check is None or not len(check.queries):
            return Temperature(None, f"none: {why}")
        if set(check.task.classes) == set(session.task.classes):
            return self._fitted([self._scored(held, session.task, check.queries)], "validation images")
        if self._validated is None:
            try:
                self._validated = self._on_validation_classes(check)
            except (Unsuitable, BenchError) as error:
                self._validated = Temperature(None, f"none: on the validation classes the method {error}")
        return self._validated

    def _on_validation_classes(self, check: Session) -> Temperature:
        task = self._handed.give(self._handover.nameless(check.task))
        state = self._method.build(task, rng=self._rng.child("session", 0))
        scored = self._scored(SessionState(state, task, "built", None), check.task, check.queries)
        return self._fitted([scored], "validation classes", sets=False)

    def _problems(self) -> Temperature:
        """Return one temperature for all few-shot problems, of the held-out images of the first ones."""
        problems = range(min(_PROBLEMS, len(self._handover.episode.sessions)))
        return self._fitted([self._held_out(number, None) for number in problems], "held-out support")

    def _held_out(self, number: int, held: SessionState | None) -> Scored:
        """Return scores of held-out support up to a session, by a state that never saw it.

        Parameters
        ----------
        held : SessionState or None
            What answers, where its weights have left images out themselves.
        """
        episode, method = self._handover.episode, self._method
        own: Collection[str] = ()
        if held is not None and isinstance(method, Spares):
            own, method = method.spared(held.state), method.as_trained(held.state)
        while len(self._reduced) <= number:
            session = episode.sessions[len(self._reduced)]
            task, images = spared(session.task, self._rows(session.task.support, own))
            self._reduced.append(replace(session, task=task))
            self._held.append(images)
        session = self._reduced[number]
        reduced = Handover(replace(episode, sessions=(*self._reduced, *episode.sessions[number + 1 :])), self._seed)
        stream = session_stream(self._rng, session, number)
        before = None if episode.independent else self._state
        self._state = build_session(method, reduced, self._handed, number, before, stream)
        images = self._held[number] if episode.independent else Features.concat(self._held[: number + 1])
        return self._scored(self._state, session.task, images)

    def _rows(self, support: Features, own: Collection[str]) -> Tensor:
        """Return which labelled images calibrate, bool [n]: those that the method itself held out, if there are any."""
        if not own:
            return self._handover.held_out(support, _count)
        return torch.from_numpy(np.isin(self._handover.names(support.ids), list(own)))

    def _fitted(self, scored: Sequence[Scored], source: str, *, sets: bool = True) -> Temperature:
        scores, columns = (torch.cat(parts) for parts in zip(*scored, strict=True))
        value = fitted_temperature(scores, columns)
        if value is None:
            return Temperature(None, "none: all scores are equal")
        if not sets:
            return Temperature(value, source)
        probabilities = (scores.double() / value).softmax(1).nan_to_num(0.0)
        own = probabilities.gather(1, columns.unsqueeze(1)).squeeze(1)
        return Temperature(value, source, sets=ConformalSets.of(own, self._rng.child("conformal", "held-out")))

    def _scored(self, held: SessionState, task: Task, images: Features) -> Scored:
        blocks = []
        scorer = Scorer(self._method, held.state, self._label)
        for block in scorer.parts(images.x.float().split(QUERY_BLOCK)):
            with self._handed.block(block) as part, torch.no_grad():
                scores = scorer(part)
                check_scores(self._label, scores, len(part), task)
            blocks.append(scores.cpu())
        return torch.cat(blocks), task.columns(images.labels).cpu()


def _too_few(task: Task) -> str | None:
    """Return why no labelled image of a task can be spared; None if one of every class can."""
    if not len(task.support):
        return "no labelled images of the classes"
    counts = torch.bincount(task.support.labels.cpu())
    least = int(counts[counts > 0].min())
    return (
        None if least >= _LEAST else f"a class has {least} labelled image{'s' * (least > 1)}, and {_LEAST} are needed"
    )


def _count(images: int) -> int:
    """Return how many of a class's images are held out."""
    return min(max(1, int(images * _SHARE)), _MOST)
