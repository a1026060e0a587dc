"""A fitted method with all that answering and editing need, as one value."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.classifier.answers import NONE
from bench.classifier.calibration import SHARE, Calibration, calibrate, probabilities
from bench.classifier.reference import EncoderReference
from bench.core.features import Features
from bench.core.protocols import Method, Trains, WantsPixels
from bench.core.registry import METHODS
from bench.core.scored import scored
from bench.core.state_parts import move
from bench.core.task import Episode, Session, Task
from bench.learning.holdout import apart
from bench.runner.evaluate import missing_requirement
from bench.runner.handover import Handed, Handover, method_stream
from bench.runner.recipes import choose_recipes
from bench.runner.states import build_session, session_stream
from bench.utils.errors import BenchError, Unsuitable, suggest
from bench.utils.params import make
from bench.utils.recipe_fields import evolve

_BLOCK = 8192
"""Queries scored at a time, as many as the harness takes, so that answers are its answers bit by bit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A method, what it was built on, and the state it built.

    Attributes
    ----------
    label : str
        What the method is called with the parameters it was asked for.
    method : Method
        With its trained weights, if it trains.
    state : Any
        On the CPU.
    task : Task
        What the state was built on; without its items if these are not kept.
    reference : EncoderReference
    seed : int
    share : float
        Of the labelled images that are held out to calibrate; 0 for none.
    items_kept : bool
        Whether items can be added and removed.
    about : mapping
        Where the data come from and what was measured, as plain values.
    log : tuple of mapping
        The edits, oldest first.
    """

    label: str
    method: Method
    state: Any
    task: Task
    reference: EncoderReference
    calibration: Calibration = field(default_factory=Calibration)
    seed: int = 0
    share: float = SHARE
    items_kept: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Mapping[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each column's class."""
        return self.task.class_names

    @cached_property
    def answers(self) -> np.ndarray:
        """What an answer may be: the names of the columns and, behind them, that it is none of these; str [c + 1]."""
        return np.array([*self.names, NONE])

    @property
    def dimension(self) -> int:
        """The number of dimensions d of the features it takes."""
        return self.task.dimension

    def scores(self, x: Tensor) -> Tensor:
        """Return the method's scores of features [q, d], float [q, c]; larger is closer."""
        with torch.no_grad():
            parts = [scored(self.method, self.state, part, self.label) for part in x.float().split(_BLOCK)]
        scores = torch.cat(parts) if len(parts) > 1 else parts[0]
        if bool(torch.isnan(scores).any()):
            raise BenchError(f"{self.label} gives scores that are no numbers; fit it again")
        return scores

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return calibrated probabilities of scores, float64 [q, c]."""
        return probabilities(scores, self.calibration.temperature)


def chosen_method(wanted: Any, params: Mapping[str, Any] | None = None) -> tuple[str, Method]:
    """Return the label and the recipe of a method: a name, ``knn:k=16``, a recipe or its class.

    Raises
    ------
    BenchError
        For an unknown name or parameter, for several methods, and for one that sees more than one query at a time.
    """
    assignments = {f"{str(wanted).partition(':')[0]}.{key}": value for key, value in (params or {}).items()}
    _, found = choose_recipes((), (wanted,), assignments)
    if len(found) != 1:
        raise BenchError(f"{wanted!r} means {len(found)} methods; a classifier is one: give each parameter one value")
    label, method = found[0].label, found[0].recipe
    if method.about.sees != "query":
        raise BenchError(
            f"{label} looks at more than one query at a time, so its answer to an image would depend on the others; "
            "choose another method"
        )
    if isinstance(method, WantsPixels) and method.wants_pixels:
        raise BenchError(
            f"{label} trains the encoder itself, and a kept classifier answers over a frozen one; use depth=adapter"
        )
    return label, method


def fitted(
    method: Method,
    task: Task,
    *,
    seed: int,
    label: str | None = None,
    training: Session | None = None,
    validation: Session | None = None,
    device: str = "cpu",
) -> tuple[Method, Any]:
    """Return the method, trained where it trains and there is something to train on, and its state on a task.

    All draws are those of a run's first session, but ids and orders are those of the task: the harness hides them from
    methods, and a method that holds images out by their ids chooses others there.

    Raises
    ------
    BenchError
        If the task lacks what the method needs.
    """
    session = Session(task=task, queries=Features.empty(task.dimension, task.support.class_names))
    episode = Episode(sessions=(session,), training=training, validation=validation).to(device)
    reason = missing_requirement(method.about, episode, trained=trained_weights(method) is not None)
    if reason:
        raise BenchError(f"{label or method.name} cannot be fitted: it {reason}")
    rng, handed = method_stream(seed, method.name), Handed(label or method.name)
    try:
        if isinstance(method, Trains) and episode.training is not None:
            method = method.train(episode.training, episode.validation, rng=rng.child("train"))
        handover = Handover(episode, seed, as_dealt=True)
        held = build_session(method, handover, handed, 0, None, session_stream(rng, session, 0))
    except Unsuitable as error:
        raise BenchError(f"{label or method.name} cannot be fitted: it {error}") from None
    weights = trained_weights(method)
    return method if weights is None else with_weights(method, move(weights, "cpu")), move(held.state, "cpu")


def trained_weights(method: Method) -> Any:
    """Return the weights that a method was trained to have on seen classes; None if it was not."""
    return getattr(method, "weights", None) if isinstance(method, Trains) else None


def with_weights(method: Method, weights: Any) -> Method:
    """Return a method with trained weights."""
    changed: Method = evolve(method, weights=weights)
    return changed


def calibrated(model: Model, device: str = "cpu") -> Model:
    """Return the model with a temperature from labelled images that another state has not seen.

    The images are chosen by a hash of their ids, so the choice depends on nothing but the items themselves, and in the
    order of a run of the same seed, whose calibration takes the first of them. What the method was trained on
    beforehand stays as it is.
    """
    task = model.task
    test = _held_out(model) if model.share else None
    if test is None or not bool(test.any()):
        return replace(model, calibration=Calibration())
    rest, held = apart(task, test)
    try:
        _, state = fitted(model.method, rest, seed=model.seed, label=model.label, device=device)
    except BenchError:
        # Too few images are left for the method; what it would need it has with all of them.
        return replace(model, calibration=Calibration())
    scores = replace(model, state=state).scores(held.x)
    return replace(model, calibration=calibrate(scores, task.columns(held.labels)))


def _held_out(model: Model) -> Tensor:
    """Return which labelled images are held out, bool [n]: a share of each class, at least one and at most half."""
    task = model.task
    nobody = Session(task=task, queries=Features.empty(task.dimension, task.support.class_names))
    handover = Handover(Episode(sessions=(nobody,)), model.seed, as_dealt=True)
    return handover.held_out(task.support, lambda images: min(max(1, int(images * model.share)), images // 2))


def make_model(
    wanted: Any,
    task: Task,
    reference: EncoderReference | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    training: Session | None = None,
    validation: Session | None = None,
    share: float = SHARE,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Model:
    """Return a calibrated model of a method on a task; see :class:`Model` and :func:`fitted`."""
    label, method = chosen_method(wanted, params)
    started = time.perf_counter()
    method, state = fitted(
        method, task, seed=seed, label=label, training=training, validation=validation, device=device
    )
    seconds = time.perf_counter() - started
    model = Model(
        label=label,
        method=method,
        state=state,
        task=replace(task, pictures=None),
        reference=reference or EncoderReference(),
        seed=seed,
        share=share,
        about={**(about or {}), "fit_seconds": seconds},
    )
    return calibrated(model, device)


def known_method(name: str, values: Mapping[str, Any]) -> Method:
    """Return a registered method with the parameters that a folder names; an unknown one raises :class:`BenchError`."""
    entry = METHODS.find(name) or METHODS.get(name)
    made: Method = make(entry.cls, name, values)
    return made


def columns_of(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the columns of class names; an unknown one raises :class:`BenchError` with the nearest."""
    known = {name: column for column, name in enumerate(names)}
    for name in wanted:
        if name not in known:
            raise BenchError(f"the classifier has no class {name!r}{suggest(str(name), names)}")
    return [known[name] for name in wanted]
