"""Dealing: the episode of one scenario, data set, condition and seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.core.dataset import Dataset
from bench.core.task import Episode
from bench.runner.tuning import check_select_on
from bench.sampling.sessions import as_features, exclude
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
    if spec.dataset.card.encoder_texts == "none":
        episode = replace(episode, without_texts=f"encoder {spec.dataset.card.encoder} has no text tower")
    targets = {c for session in episode.sessions for c in session.task.classes}
    check_select_on(spec.select_on, episode.validation, targets, spec.scenario.recipe.name)
    return _with_images_to_choose_on(episode, spec.dataset) if spec.select_on == "validation-split" else episode


def _with_images_to_choose_on(episode: Episode, dataset: Dataset) -> Episode:
    """Return an episode whose tasks have the validation split of their classes, without what is dealt otherwise."""
    dealt = [part for s in episode.sessions for part in (s.queries, s.task.support)]
    images = [as_features(s.task.memory.images, dataset) for s in episode.sessions]
    free = exclude(dataset.role("validation"), [*dealt, *images])
    sessions = (replace(s, task=replace(s.task, choose_on=free.of_classes(s.task.classes))) for s in episode.sessions)
    return replace(episode, sessions=tuple(sessions))
