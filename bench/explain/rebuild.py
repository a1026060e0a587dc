"""Episodes dealt, weights trained and states built again as a run had them, from its records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Trains, WantsPixels
from bench.core.task import Episode
from bench.data.registry import resolve
from bench.learning.state_io import load
from bench.results.run_folder import STATES
from bench.runner.deal import deal_episode
from bench.runner.evaluate import missing_requirement
from bench.runner.handover import Handed, Handover
from bench.runner.plan import EpisodeSpec
from bench.runner.recipes import LabelledRecipe
from bench.runner.saved_weights import SavedWeights
from bench.runner.states import SessionState, build_session, session_stream
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.random import Stream
from bench.utils.recipe_fields import evolve


def dealt_again(
    scenario: LabelledRecipe, dataset: Dataset, row: Mapping[Any, Any], manifest: Mapping[str, Any]
) -> Episode:
    """Return the episode of a record."""
    train_on = getattr(scenario.recipe, "train_on", None)
    condition, seed = json.loads(row["condition"]), int(row["seed"])
    source = resolve(train_on) if train_on else None
    selection = manifest.get("selection", "support")
    return deal_episode(EpisodeSpec(scenario, dataset, source, condition, seed, {}, selection))


def tuned(method: Method, row: Mapping[Any, Any]) -> Method:
    """Return the method with the parameters that its cell chose."""
    chosen = json.loads(row["details"] or "{}").get("tuned", {}).get("parameters", {})
    return evolve(method, **chosen) if chosen else method


def trained_again(
    method: Method, handover: Handover, rng: Stream, folder: Path, row: Mapping[str, Any], *, anew: bool = False
) -> Method:
    """Return the method with the weights that the run kept, or trained again on seen classes.

    With ``anew`` it is trained again on the classes of an episode that is not the run's.
    """
    if isinstance(method, WantsPixels) and method.wants_pixels:
        raise BenchError(f"{row['method']} trained from pixels, which is not done again here; choose another method")
    kept = folder / STATES / f"{row['cell']}.safetensors"
    if kept.is_file() and not anew:
        trained = load(kept, allowed=("bench", "methods", type(method).__module__.split(".")[0]))
        if isinstance(trained, SavedWeights):
            return trained.plugged_into(method, handover.episode)
    origin = json.loads(row["details"] or "{}").get("loaded_from")
    if origin is not None:
        raise BenchError(f"{row['method']} used weights loaded from {origin}; run again with --save-states")
    training, validation = handover.episode.training, handover.episode.validation
    if isinstance(method, Trains) and training is not None:
        handed = Handed(str(row["method"]))
        parts = (handed.give(handover.nameless(part)) if part is not None else None for part in (training, validation))
        return method.train(*parts, rng=rng.child("train"))  # type: ignore[arg-type]
    return method


def built_again(method: Method, handover: Handover, number: int, rng: Stream, label: str) -> SessionState:
    """Return what a method holds after session ``number``.

    Raises
    ------
    Unsuitable
        If the method lacks what it needs there.
    """
    episode, handed = handover.episode, Handed(label)
    reason = missing_requirement(method.about, episode)
    if reason:
        raise Unsuitable(reason)
    held: SessionState | None = None
    # Independent sessions are problems of their own; elsewhere a state is made of those before it.
    for n in range(number if episode.independent else 0, number + 1):
        stream = session_stream(rng, episode.sessions[n], n)
        held = build_session(method, handover, handed, n, held, stream)
    assert held is not None
    return held
