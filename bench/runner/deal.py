"""Dealing: the episode of one scenario, data set, condition and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.core.task import Episode
from bench.utils.errors import BenchError
from bench.utils.random import Stream

if TYPE_CHECKING:
    from bench.runner.plan import EpisodeSpec


def deal_episode(spec: EpisodeSpec) -> Episode:
    """Return what a scenario deals, the same whatever the methods; each session has queries."""
    # Neither the method nor the data set's name or encoder plays a part in the stream: all methods meet the same class
    # orders, shots and memories, and so do the same images in the space of another encoder.
    rng = Stream(spec.seed).child("scenario", spec.scenario.recipe.name)
    episode: Episode = spec.scenario.recipe.deal(spec.dataset, spec.condition, rng=rng, source=spec.source)
    for session in episode.sessions:
        if not len(session.queries):
            raise BenchError(
                f"data set {spec.dataset.name}: session {session.task.session} has no queries; give its role 'query' "
                "a split that holds its classes"
            )
    return episode
