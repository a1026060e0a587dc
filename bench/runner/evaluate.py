"""Evaluation of one cell: a method runs through an episode and is measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.protocols import About, Describes, Explains, Extends, Forgets, Method, Trains, WantsPixels
from bench.core.state_bytes import StateBytes, nbytes
from bench.core.state_parts import strings
from bench.core.task import Episode, Session, Task
from bench.cost.meter import Meter, Repeats, metered, phase, uncounted
from bench.learning.exemplars import carry
from bench.learning.training_options import DEFAULT_OPTIONS, TrainingOptions, with_training_options
from bench.runner.evidence_metrics import evidence_means
from bench.runner.in_pixels import in_pixels
from bench.search.query_log import SearchCall, listening
from bench.utils.errors import BenchError, Notice, Unsuitable
from bench.utils.random import Stream

if TYPE_CHECKING:
    from bench.runner.saved_weights import SavedWeights

_QUERY_BLOCK = 8192
"""Queries scored at a time, so that scores of 1000 classes stay below 32 MiB."""


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
    asked : sequence of Asked
        What it searched for; in session 0, while it was trained too.
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
    asked: Sequence[SearchCall]


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
        return "needs texts, and the data set has none; import it with --texts"
    if "prompts" in about.needs and len(task.prompts) < task.n_classes:
        without = task.n_classes - len(task.prompts)
        return (
            f"needs a text for every class, and {without} of {task.n_classes} classes have none; "
            "restrict the scenario to classes=with-texts, or import the data set with --texts"
        )
    if "training" in about.needs and episode.training is None and not trained:
        return "needs seen classes to train on, and this scenario has none"
    return None


def query_blocks(session: Session) -> tuple[Tensor, ...]:
    """Return the queries of a session in blocks; made once, so that all methods share one retrieval."""
    return tuple(torch.split(session.queries.x.float(), _QUERY_BLOCK))


def blocks_of(episode: Episode) -> list[tuple[Tensor, ...]]:
    """Return the blocks of each session's queries; sessions that ask the same queries share them."""
    made: dict[int, tuple[Tensor, ...]] = {}
    for session in episode.sessions:
        if id(session.queries) not in made:
            made[id(session.queries)] = query_blocks(session)
    return [made[id(session.queries)] for session in episode.sessions]


def run_cell(
    method: Method,
    episode: Episode,
    blocks: list[tuple[Tensor, ...]],
    *,
    seed: int,
    label: str,
    trained: SavedWeights | None = None,
    options: TrainingOptions = DEFAULT_OPTIONS,
) -> CellResult:
    """Return what a method does in every session of an episode.

    Parameters
    ----------
    trained : SavedWeights, optional
        Weights that are used in the place of training.
    options : TrainingOptions
        How its trainings are carried out.

    Raises
    ------
    Unsuitable
        If the method lacks what it needs.
    BenchError
        If its scores have the wrong shape or are not numbers.
    """
    reason = missing_requirement(method.about, episode, trained=trained is not None)
    if reason:
        raise Unsuitable(reason)
    pixels = isinstance(method, WantsPixels) and method.wants_pixels
    if pixels and episode.sessions[0].task.pictures is None:
        raise Unsuitable("needs the images themselves, and the data set has their features only; use depth=adapter")
    method = with_training_options(method, options)
    rng = Stream(seed).child("method", method.name)
    has_trained = False
    outcomes: list[Outcome] = []
    held: SessionState | None = None
    meter = Meter()
    searched: list[SearchCall] = []
    if trained is not None:
        method = trained.plugged_into(method, episode)
    elif isinstance(method, Trains) and episode.training is not None:
        with metered(meter), phase("train"), listening() as searched:
            # The scenario trains and validates a method on classes or images that are disjoint from the queries.
            method = method.train(episode.training, episode.validation, rng=rng.child("train"))
        has_trained = True
    for number, (session, parts) in enumerate(zip(episode.sessions, blocks, strict=True)):
        if number:
            meter = Meter()
        stream = session_stream(rng, session, number)
        asked, dealt = session, episode
        if pixels:
            # One session at a time: the images of a whole episode might not fit into memory.
            session = in_pixels(asked)
            dealt = replace(episode, sessions=tuple(session if s is asked else s for s in episode.sessions))
            parts = query_blocks(session)
        with metered(meter), listening() as questions:
            with phase("build"):
                held = build_session(method, dealt, number, held, stream)
            state, kind, exemplars = held.state, held.kind, held.exemplars
            repeats, scored = Repeats(), []
            for at, part in enumerate(parts):
                with phase("score"), torch.no_grad(), repeats.like(len(part)):
                    scores = _scores(method, state, part, label)
                # What the harness makes of the scores is no cost of the method.
                with uncounted():
                    scored.append(_answer(label, scores, part, session, at))
        columns, ranks, confidences = (torch.cat(column) for column in zip(*scored, strict=True))
        details = dict(method.describe(state)) if isinstance(method, Describes) else {}
        if trained is not None:
            details["loaded_from"] = trained.origin
        if session.task.budget.bytes is not None:
            details |= _against_budget(method, state, exemplars, session.task)
        if session.evidence and isinstance(method, Explains):
            details["evidence"] = evidence_means(method, state, session)
        if session.edit is not None:
            details["edit"] = _check_edit(method, state, kind, session, parts, stream)
        outcomes.append(
            Outcome(
                session=asked,
                predictions=torch.tensor(session.task.classes)[columns],
                ranks=ranks,
                confidences=confidences,
                kind=kind,
                exemplars=len(exemplars.support) + len(exemplars.memory) if exemplars is not None else None,
                state_bytes=nbytes(state),
                stored=StateBytes.of(state, _carried(exemplars)),
                details=details,
                cost=meter.columns(),
                asked=(*searched, *questions),
            )
        )
        searched = []
    return CellResult(outcomes, method if has_trained else None)


def _scores(method: Method, state: Any, queries: Tensor, label: str) -> Tensor:
    """Return a method's scores of a block; where the device is too full for it, those of its halves."""
    try:
        return method.score(state, queries)
    except torch.OutOfMemoryError:
        if len(queries) < 2:
            raise
    # Outside the handler, so that the failed attempt's tensors are free before the next one.
    half = (len(queries) + 1) // 2
    warnings.warn(
        Notice(f"{label}: the GPU is too full to score {len(queries)} queries at a time, so {half} are"), stacklevel=2
    )
    return torch.cat([method.score(state, part) for part in queries.split(half)])


@dataclass(frozen=True, eq=False)
class SessionState:
    """What a method holds after a session.

    Attributes
    ----------
    state : Any
        The method's state.
    task : Task
        What it was built on or extended by: the session's task, or that with the exemplars of earlier ones.
    kind : str
        ``built``, ``extended``, ``rebuilt`` or ``forgotten``.
    exemplars : Task or None
        The exemplars the harness carries on for a method that cannot extend its state.
    """

    state: Any
    task: Task
    kind: str
    exemplars: Task | None


def session_stream(rng: Stream, session: Session, number: int) -> Stream:
    """Return the stream of a session's draws; an edited memory poses the same problem again, so its draws stay."""
    return rng.child("session", 0 if session.edit else number)


def build_session(
    method: Method, episode: Episode, number: int, before: SessionState | None, rng: Stream
) -> SessionState:
    """Return what a method holds after session ``number``, from what it held before it."""
    session = episode.sessions[number]
    task, exemplars = session.task, before.exemplars if before else None
    if session.edit is not None:
        assert before is not None
        state, kind = _edit(method, before.state, episode.sessions[number - 1].task, session, rng)
        return SessionState(state, task, kind, exemplars)
    if isinstance(method, Extends) and not episode.independent:
        if before is None:
            return SessionState(method.build(task, rng=rng), task, "built", exemplars)
        return SessionState(method.extend(before.state, task, rng=rng), task, "extended", exemplars)
    kind = "built"
    if len(episode.sessions) > 1 and not episode.independent and not _edits(episode):
        kind = "rebuilt" if number else "built"
        about = method.about
        task, exemplars = carry(exemplars, task, stores_items=about.stores_items, texts="texts" in about.needs)
    return SessionState(method.build(task, rng=rng), task, kind, exemplars)


def _edits(episode: Episode) -> bool:
    return any(session.edit is not None for session in episode.sessions)


def _edit(method: Method, state: Any, before: Task, session: Session, rng: Stream) -> tuple[Any, str]:
    """Return the state after an edit of the memory, and whether it was ``forgotten`` into or ``rebuilt``."""
    assert session.edit is not None
    if session.edit.only_removes and isinstance(method, Forgets):
        return method.forget(state, before, session.edit.removed), "forgotten"
    return method.build(session.task, rng=rng), "rebuilt"


def _check_edit(
    method: Method, state: Any, kind: str, session: Session, parts: tuple[Tensor, ...], rng: Stream
) -> dict[str, Any]:
    """Return what shows whether removed items are gone.

    ``removed_found`` counts their ids in the state. ``max_score_difference`` is the largest absolute difference of
    scores from those of a state that never saw them, and ``max_score`` the largest score by size, against which it
    is to be read; both are null for a rebuilt state, which is such a state.
    """
    assert session.edit is not None
    found = np.isin(list(session.edit.removed), list(strings(state)))
    largest: float | None = None
    scale: float | None = None
    if kind == "forgotten":
        never = method.build(session.task, rng=rng)
        largest = scale = 0.0
        for part in parts:
            with torch.no_grad():
                ours, theirs = method.score(state, part), method.score(never, part)
            # Equal infinities (a class without items) differ by nothing.
            gap = torch.where(ours == theirs, 0.0, (ours - theirs).abs())
            size = torch.where(theirs.isinf(), 0.0, theirs.abs())
            if gap.numel():
                largest, scale = max(largest, float(gap.max())), max(scale, float(size.max()))
    return {
        "removed": len(session.edit.removed),
        "removed_found": int(found.sum()),
        "max_score_difference": largest,
        "max_score": scale,
    }


def _against_budget(method: Method, state: Any, exemplars: Task | None, task: Task) -> dict[str, Any]:
    """Return the bytes a method carries to the next session, and whether they are more than the budget.

    One that extends carries its state; of one that is built anew the harness carries the exemplars alone.
    """
    assert task.budget.bytes is not None
    carried = nbytes(state if isinstance(method, Extends) or exemplars is None else _carried(exemplars))
    return {"carried_bytes": carried, "over_budget": carried > task.budget.bytes}


def _carried(exemplars: Task | None) -> tuple[Features, Memory] | None:
    """Return what the harness carries to the next session of a task with exemplars."""
    return None if exemplars is None else (exemplars.support, exemplars.memory)


def _answer(label: str, scores: Tensor, queries: Tensor, session: Session, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return predicted columns, ranks of the right class and confidences of one block of queries, on the CPU."""
    expected = (len(queries), session.task.n_classes)
    if tuple(scores.shape) != expected:
        raise BenchError(
            f"method {label} returned scores of shape {tuple(scores.shape)} instead of {expected}; "
            "column j must be task.classes[j]"
        )
    start = block * _QUERY_BLOCK
    labels = session.queries.labels[start : start + len(queries)].to(scores.device)
    own = session.task.columns(labels).unsqueeze(1)
    right = scores.gather(1, own)
    # The largest of a row with a NaN is NaN.
    top, columns = scores.max(1)
    if bool(torch.isnan(top).any()):
        raise BenchError(f"method {label} returned NaN scores; its training diverged or a class mean is zero")
    # One table for all that is compared and added up: to ask the system for each takes longer than to fill it. Ones in
    # float32 add up exactly, and faster than truths do as int64 numbers.
    table = torch.empty(expected, dtype=torch.promote_types(scores.dtype, torch.float32), device=scores.device)
    ranks = torch.gt(scores, right, out=table).sum(1).long()
    tied = (torch.ge(scores, right, out=table).sum(1) > ranks + 1).nonzero().squeeze(1)
    if len(tied):
        # Columns before the right one win a tie, as in the prediction, so that rank 0 is a right answer and no other.
        order = torch.arange(scores.shape[1], device=scores.device)
        ranks[tied] += ((scores[tied] == right[tied]) & (order < own[tied])).sum(1)
    # In the precision of the scores: rounded to float32, scores of thousands would give probabilities above 1.
    confidences = torch.sub(scores.to(table.dtype), top.unsqueeze(1), out=table).exp_().sum(1).reciprocal().float()
    # Where no class has an item to be scored by, all scores are minus infinity and all classes are as likely.
    confidences[torch.isneginf(top)] = 1 / scores.shape[1]
    return columns.cpu(), ranks.cpu(), confidences.cpu()
