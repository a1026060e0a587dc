"""States of a method, session after session: built, extended, rebuilt from exemplars, or after an edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.protocols import Extends, Forgets, Method
from bench.core.state_bytes import nbytes
from bench.core.state_parts import strings
from bench.core.task import Episode, Session, Task
from bench.learning.exemplars import carry
from bench.runner.handover import Handed, Handover
from bench.runner.scoring import Scorer
from bench.utils.random import Stream


@dataclass(frozen=True, eq=False)
class SessionState:
    """What a method holds after a session.

    Attributes
    ----------
    state : Any
        The method's state.
    task : Task
        What it was built on or extended by, as the method was given it: the session's task, or that with the exemplars
        of earlier ones.
    kind : str
        ``built``, ``extended``, ``rebuilt`` or ``forgotten``.
    exemplars : Task or None
        The exemplars the harness carries on for a method that cannot extend its state.
    built_on_exemplars : bool
        Whether the exemplars are all it was built on.
    """

    state: Any
    task: Task
    kind: str
    exemplars: Task | None
    built_on_exemplars: bool = False

    @property
    def carried(self) -> tuple[Features, Memory] | None:
        """What the harness carries to the next session, as the state holds it where it holds all of it."""
        task = self.task if self.built_on_exemplars else self.exemplars
        return None if task is None else (task.support, task.memory)

    @property
    def n_exemplars(self) -> int | None:
        """How many items the harness carries to the next session; None for a method that needs none."""
        return None if self.exemplars is None else len(self.exemplars.support) + len(self.exemplars.memory)


def session_stream(rng: Stream, session: Session, number: int) -> Stream:
    """Return the stream of a session's draws; an edited memory poses the same problem again, so its draws stay."""
    return rng.child("session", 0 if session.edit else number)


def build_session(
    method: Method, handover: Handover, handed: Handed, number: int, before: SessionState | None, rng: Stream
) -> SessionState:
    """Return what a method holds after session ``number``, from what it held before it."""
    episode = handover.episode
    session = episode.sessions[number]
    task, exemplars = handover.nameless(session.task), before.exemplars if before else None
    if session.edit is not None:
        assert before is not None
        given = handed.give(task)
        if session.edit.only_removes and isinstance(method, Forgets):
            earlier = handed.give(handover.nameless(episode.sessions[number - 1].task))
            state = method.forget(before.state, earlier, handover.names(session.edit.removed))
            return SessionState(state, given, "forgotten", exemplars)
        return SessionState(method.build(given, rng=rng), given, "rebuilt", exemplars)
    if isinstance(method, Extends) and not episode.independent:
        given = handed.give(task)
        if before is None:
            return SessionState(method.build(given, rng=rng), given, "built", exemplars)
        return SessionState(method.extend(before.state, given, rng=rng), given, "extended", exemplars)
    kind, dealt = "built", task
    if len(episode.sessions) > 1 and not episode.independent and not _edits(episode):
        kind = "rebuilt" if number else "built"
        about = method.about
        task, exemplars = carry(exemplars, task, stores_items=about.stores_items, texts="texts" in about.needs)
    given = handed.give(task)
    state = method.build(given, rng=rng)
    handed.count_choice(given, dealt)
    return SessionState(state, given, kind, exemplars, task is exemplars)


def _edits(episode: Episode) -> bool:
    return any(session.edit is not None for session in episode.sessions)


def check_edit(
    method: Method, held: SessionState, handover: Handover, handed: Handed, number: int, rng: Stream
) -> dict[str, Any]:
    """Return what shows whether removed items are gone.

    ``removed_found`` counts their ids in the state. ``max_score_difference`` is the largest absolute difference of
    scores from those of a state that never saw them, and ``max_score`` the largest score by size, against which it
    is to be read; both are null for a rebuilt state, which is such a state.
    """
    session = handover.episode.sessions[number]
    assert session.edit is not None
    found = np.isin(handover.names(session.edit.removed), list(strings(held.state)))
    largest: float | None = None
    scale: float | None = None
    if held.kind == "forgotten":
        never = method.build(handed.give(handover.nameless(session.task)), rng=rng)
        largest = scale = 0.0
        scorers = Scorer(method, held.state, method.name), Scorer(method, never, method.name)
        for block in scorers[0].parts(handover.blocks[number].parts):
            with torch.no_grad(), handed.block(block) as part:
                ours, theirs = (scorer(part) for scorer in scorers)
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


def against_budget(method: Method, held: SessionState, limit: int) -> dict[str, Any]:
    """Return the bytes a method carries to the next session, and whether they are more than the budget.

    One that extends carries its state; of one that is built anew the harness carries the exemplars alone.
    """
    carried = nbytes(held.state if isinstance(method, Extends) or held.exemplars is None else held.carried)
    return {"carried_bytes": carried, "over_budget": carried > limit}
