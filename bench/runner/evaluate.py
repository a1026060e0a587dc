"""Evaluation of one cell: a method runs through an episode and is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.core.measure import Answered, Measured
from bench.core.protocols import About, Describes, Explains, Method, RunsWithout, Trains, WantsPixels
from bench.core.state_bytes import StateBytes, nbytes
from bench.core.task import Episode, Session
from bench.cost.latency import columns as latency_columns
from bench.cost.latency import latencies
from bench.cost.meter import Meter, metered, phase
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions, with_training_options
from bench.runner.answers import answer
from bench.runner.calibration import Calibrator, Temperature
from bench.runner.evidence_metrics import evidence_means
from bench.runner.handover import Blocks, Handed, Handover, method_stream
from bench.runner.in_pixels import in_pixels
from bench.runner.states import SessionState, against_budget, build_session, check_edit, session_stream
from bench.runner.tuning import NOTHING_FREE, Budget, Choice, choose
from bench.search.query_log import SearchCall, listening
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream

DEFAULTS = Budget()
UNCALIBRATED = Temperature(None, "none: not asked for")

if TYPE_CHECKING:
    from bench.runner.saved_weights import SavedWeights


_TIMED = 0.2
"""Seconds for which answers of each number of queries are timed."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The measured result of a method in one session.

    Attributes
    ----------
    predictions : int64 Tensor [q]
        Class ids.
    ranks : int64 Tensor [q]
        How many classes score above the right one.
    confidences : float32 Tensor [q]
        Softmax probability of the prediction.
    stored : StateBytes
        What its bytes are spent on, and those of the exemplars that the harness carries on.
    cost : mapping
        Seconds, FLOPs and peaks: the columns of the record that :meth:`bench.cost.meter.Meter.columns` gives.
    searches : sequence of SearchCall
        What it searched for; in session 0, while it was trained too.
    labels_seen : int
        Of how many labelled images of the target classes it has read the label so far.
    set_sizes : int64 Tensor [q] or None
        How many of the likeliest classes are in each query's set.
    missing_parts : tuple of str
        What it ran without.
    measures : mapping
        What the scenario measures beside accuracy, each with its interval.
    """

    session: Session
    predictions: Tensor
    ranks: Tensor
    confidences: Tensor
    kind: str
    exemplars: int | None
    state_bytes: int
    stored: StateBytes
    details: Mapping[str, Any]
    cost: Mapping[str, Any]
    searches: Sequence[SearchCall]
    labels_seen: int
    choice: Choice
    temperature: Temperature
    set_sizes: Tensor | None = None
    missing_parts: tuple[str, ...] = ()
    measures: Measured = field(default_factory=dict)

    @property
    def configurations(self) -> int:
        """How many configurations were tried: by the run, each as often as the method tries some itself."""
        return self.choice.configurations * int(self.details.get("configurations", 1))

    @property
    def selected_on(self) -> str:
        """What they were compared on: by the run, or by the method itself where the run did not compare any.

        With the reason after a colon where that is not what was asked for.
        """
        if self.choice.configurations > 1 or (self.configurations == 1 and self.choice.selected_on != "none"):
            return self.choice.selected_on
        if self.configurations == 1:
            return f"none: {self.details['not_chosen']}" if "not_chosen" in self.details else "none"
        images, own = self.session.task.choose_on, self.details.get("chosen_on")
        if own == "validation classes":
            return "validation-classes"
        if images is None or own in ("support", "images held out"):
            return "support"
        return "validation-split" if len(images) else f"support: {NOTHING_FREE}"


@dataclass(frozen=True, eq=False)
class CellResult:
    """What a method did in each session of a cell, and the method with the weights that it trained there, if it did."""

    outcomes: list[Outcome]
    trained: Method | None = None


def missing_requirement(about: About, episode: Episode, *, trained: bool = False) -> str | None:
    """Return what a method needs and an episode does not have, as a reason to skip it; None if nothing.

    ``trained`` says that its weights were trained before, so that it needs no seen classes.
    """
    task = episode.sessions[-1].task
    first = episode.sessions[0].task
    if "support" in about.needs and not len(first.support):
        return "needs labelled support images, and this scenario deals none"
    if "images" in about.needs and not len(first.labelled):
        return "needs images in the support or in the memory, and there are none"
    if "texts" in about.needs and not len(first.text_memory):
        if episode.without_texts:
            return f"needs texts, and {episode.without_texts}"
        return "needs texts, and the data set has none; import it with --texts"
    if "prompts" in about.needs and len(task.prompts) < task.n_classes:
        if episode.without_texts and not len(task.prompts):
            return f"needs a text for every class, and {episode.without_texts}"
        without = task.n_classes - len(task.prompts)
        return (
            f"needs a text for every class, and {without} of {task.n_classes} classes have none; "
            "restrict the scenario to classes=with-texts, or import the data set with --texts"
        )
    if "training" in about.needs and episode.training is None and not trained:
        return "needs seen classes to train on, and this scenario has none"
    if about.sees == "set" and min(len(session.queries) for session in episode.sessions) < 2:
        return "needs several queries to look at together, and this scenario deals one"
    return None


def run_cell(
    method: Method,
    handover: Handover,
    *,
    label: str,
    trained: SavedWeights | None = None,
    options: TrainingOptions = DEFAULT_OPTIONS,
    timed: bool = False,
    budget: Budget = DEFAULTS,
    calibrate: bool = False,
) -> CellResult:
    """Return what a method does in every session of an episode.

    Parameters
    ----------
    handover : Handover
        The episode, as methods are given it.
    trained : SavedWeights, optional
        Weights that are used in the place of training.
    options : TrainingOptions
        How its trainings are carried out.
    timed : bool
        Time answers to one query and to 256 at a time, after the last session.
    budget : Budget
        How many configurations are tried, and on what they are compared.
    calibrate : bool
        Fit the temperature of its scores.

    Raises
    ------
    Unsuitable
        If the method lacks what it needs.
    BenchError
        If its scores have the wrong shape or are not numbers, or if it writes into what it is given.
    """
    episode = handover.episode
    reason = missing_requirement(method.about, episode, trained=trained is not None)
    if reason:
        raise Unsuitable(reason)
    pixels = isinstance(method, WantsPixels) and method.wants_pixels
    if pixels and episode.sessions[0].task.pictures is None:
        raise Unsuitable("needs the images themselves, and the data set has their features only; use depth=adapter")
    choice = Choice(method=method)
    if budget.configurations > 1 and trained is None and not pixels:
        choice = choose(method, handover, budget, label, options)
    method = with_training_options(choice.method, options)
    rng = method_stream(handover.seed, method.name)
    handed = Handed(label, {c for session in episode.sessions for c in session.task.classes})
    has_trained = False
    outcomes: list[Outcome] = []
    held: SessionState | None = None
    meter = Meter()
    searched: list[SearchCall] = []
    if trained is not None:
        method = trained.plugged_into(method, episode)
    elif isinstance(method, Trains) and episode.training is not None:
        # The scenario trains and validates a method on classes or images that are disjoint from the queries.
        training, validation = (
            handed.give(handover.nameless(part)) if part is not None else None
            for part in (episode.training, episode.validation)
        )
        assert training is not None
        with metered(meter), phase("train"), listening() as searched:
            method = method.train(training, validation, rng=rng.child("train"))
        handed.take_back()
        has_trained = True
    calibrator = Calibrator(method, handover, rng, label) if calibrate and not pixels else None
    for number, session in enumerate(episode.sessions):
        if number:
            meter = Meter()
        stream = session_stream(rng, session, number)
        desk = handover
        if pixels:
            # One session at a time: the images of a whole episode might not fit into memory.
            seen = in_pixels(session)
            dealt = replace(episode, sessions=tuple(seen if s is session else s for s in episode.sessions))
            desk = Handover(dealt, handover.seed)
        blocks = desk.blocks_of(desk.episode.sessions[number].asked, session.order)
        with metered(meter), listening() as questions:
            with phase("build"):
                held = build_session(method, desk, handed, number, held, stream)
            handed.check()
        if choice.selected_on == "validation-split" and session.task.choose_on is not None:
            handed.count(handover.nameless(session.task).choose_on)  # type: ignore[arg-type]
        temperature = calibrator.fit(number, held) if calibrator is not None else UNCALIBRATED
        with metered(meter), listening() as more:
            scale, keep = temperature.value or 1.0, session.measure is not None
            lots = rng.child("conformal", number)
            whole = answer(
                method,
                held.state,
                session.task,
                blocks,
                handed,
                label,
                scale,
                sets=temperature.sets,
                lots=lots,
                keep_scores=keep,
            )
        answers = whole.first(len(session.queries))
        details = dict(method.describe(held.state)) if isinstance(method, Describes) else {}
        if choice.configurations > 1:
            details["tuned"] = dict(choice.details)
        if trained is not None:
            details["loaded_from"] = trained.origin
        if session.task.budget.bytes is not None:
            details |= against_budget(method, held, session.task.budget.bytes)
        if session.evidence and isinstance(method, Explains):
            details["evidence"] = evidence_means(method, held.state, held.task, session)
        if session.edit is not None:
            details["edit"] = check_edit(method, held, desk, handed, number, stream)
        handed.take_back()
        last = number + 1 == len(episode.sessions)
        waits = _latency(method, held.state, blocks.parts[0]) if timed and last else {}
        outcomes.append(
            Outcome(
                session=session,
                predictions=torch.tensor(session.task.classes)[answers.columns],
                ranks=answers.ranks,
                confidences=answers.confidences,
                kind=held.kind,
                exemplars=held.n_exemplars,
                state_bytes=nbytes(held.state),
                stored=StateBytes.of(held.state, held.carried),
                details=details,
                cost=meter.columns() | waits,
                searches=(*searched, *questions, *more),
                labels_seen=handed.labels_seen(),
                choice=choice,
                temperature=temperature,
                set_sizes=answers.set_sizes,
                measures=_measures(session, whole.scores, blocks, scale, handover.seed),
                missing_parts=method.runs_without(held.task) if isinstance(method, RunsWithout) else (),
            )
        )
        searched = []
    return CellResult(outcomes, method if has_trained else None)


def _measures(session: Session, scores: Tensor | None, blocks: Blocks, temperature: float, seed: int) -> Measured:
    """Return what the scenario measures beside accuracy."""
    if session.measure is None or scores is None:
        return {}
    met = blocks.order.cpu().argsort()
    targets = session.task.columns(session.queries.labels).cpu()
    answered = Answered(scores=scores, targets=targets, met=met, temperature=temperature)
    return session.measure(answered, rng=Stream(seed).child("measure"))


def _latency(method: Method, state: Any, queries: Tensor) -> dict[str, Any]:
    """Return the columns of how long an answer takes, until it lies on the CPU."""

    def ask(part: Tensor) -> Tensor:
        with torch.no_grad():
            return method.score(state, part).argmax(1).cpu()

    return latency_columns(latencies(ask, queries, seconds=_TIMED))
