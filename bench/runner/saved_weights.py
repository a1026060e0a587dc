"""Trained weights on disk, written by ``--save-states`` and read by ``--load``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.dataset import Dataset
from bench.core.protocols import Method, Trains
from bench.core.state_parts import move
from bench.core.task import Episode
from bench.learning.state_io import flatten, load
from bench.results.run_folder import STATES
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.hashing import digest
from bench.utils.json_text import parse_json
from bench.utils.recipe_fields import defaults, evolve


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedWeights:
    """The weights that a method trained on seen classes, and all that says where they may be used.

    Attributes
    ----------
    params : str
        JSON: every parameter of the method.
    space : str
        The space of the features it was trained on; empty if unknown.
    shown : str array
        Content hashes of the vectors it was trained and validated on.
    origin : str
        The data set, condition and seed it was trained in, and its run and cell.
    """

    method: str
    params: str
    dimension: int
    space: str
    seed: int
    shown: np.ndarray
    origin: str
    weights: Any

    def __post_init__(self) -> None:
        """Refuse what is no description of weights: files are read from anywhere."""
        texts, numbers = (self.method, self.params, self.space, self.origin), (self.dimension, self.seed)
        plain = all(isinstance(t, str) for t in texts) and all(type(n) is int for n in numbers)
        if not plain or not isinstance(self.shown, np.ndarray) or self.shown.dtype.kind != "U":
            raise TypeError("it describes no weights")

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the weights."""
        _, tensors = flatten(self.weights)
        return digest(*(part for name in sorted(tensors) for part in (name, tensors[name])))

    @staticmethod
    def of(method: Method, episode: Episode, dataset: Dataset, seed: int, origin: str) -> SavedWeights:
        """Return what a method has trained in an episode."""
        sessions = [s for s in (episode.training, episode.validation) if s is not None]
        return SavedWeights(
            method=method.name,
            params=parameters(method),
            dimension=dataset.dimension,
            space=dataset.card.space,
            seed=seed,
            shown=np.unique(np.concatenate([s.queries.row_digests for s in sessions])),
            origin=origin,
            weights=method.weights,  # type: ignore[attr-defined]
        )

    def plugged_into(self, method: Method, episode: Episode) -> Method:
        """Return the method with these weights, on the device of an episode.

        Raises
        ------
        Unsuitable
            If they were trained on queries of the episode.
        """
        for session in episode.sessions:
            known = int(np.isin(session.queries.row_digests, self.shown).sum())
            if known:
                raise Unsuitable(
                    f"the loaded weights were trained on {known} of the {len(session.queries)} queries; load weights "
                    "of another data set or of the same seed and split"
                )
        weights = move(self.weights, episode.sessions[0].task.device)
        changed: Method = evolve(method, weights=weights)
        return changed

    def check_space(self, dataset: Dataset) -> None:
        """Raise :class:`BenchError` if the space of a data set is not the one trained in."""
        if dataset.dimension != self.dimension:
            raise BenchError(
                f"the weights of {self.method} were trained at d = {self.dimension} and {dataset.name} has "
                f"d = {dataset.dimension}; encode both with the same encoder"
            )
        if self.space and dataset.card.space and self.space != dataset.card.space:
            raise BenchError(
                f"the weights of {self.method} were trained on features of {self.space} and {dataset.name} has those "
                f"of {dataset.card.space}; encode both with the same encoder"
            )


def parameters(recipe: Any) -> str:
    """Return every parameter of a recipe as JSON, the same for equal ones."""
    return json.dumps(defaults(recipe), sort_keys=True, default=str)


def load_saved_weights(
    folder: Path, methods: Sequence[Any], seeds: Sequence[int], datasets: Sequence[Dataset]
) -> dict[tuple[str, int], SavedWeights]:
    """Return the weights of a run for each method that trains and each seed, by label and seed.

    Parameters
    ----------
    methods : sequence of LabelledRecipe
        Those that do not train take no weights.

    Raises
    ------
    BenchError
        If there are none that fit in method, parameters, seed and space, or no method trains.
    """
    train = [m for m in methods if isinstance(m.recipe, Trains)]
    if not train:
        raise BenchError("--load gives trained weights, and no method of this run trains on seen classes; add mml")
    for m in methods:
        if m.params.get("oracle"):
            raise BenchError(f"{m.label} tries parameters and --load gives weights trained with one; leave one out")
    packages = sorted({type(m.recipe).__module__.split(".")[0] for m in train})
    loaded = Loaded(folder, packages=packages)
    found = {(m.label, seed): loaded.find(m.recipe, m.label, seed) for m in train for seed in seeds}
    for trained in found.values():
        for dataset in datasets:
            trained.check_space(dataset)
    return found


class Loaded:
    """The trained weights of a run, used instead of training.

    Raises
    ------
    BenchError
        If the folder holds none.
    """

    def __init__(self, folder: Path, *, packages: Sequence[str] = ()) -> None:
        self._folder = folder
        files = sorted((folder / STATES if (folder / STATES).is_dir() else folder).glob("*.safetensors"))
        if not files:
            raise BenchError(
                f"{folder} holds no trained weights; run there with --save-states, and give the run's folder"
            )
        allowed = ("bench", "methods", *packages)
        self._all = [found for file in files if isinstance(found := load(file, allowed=allowed), SavedWeights)]

    def find(self, recipe: Any, label: str, seed: int) -> SavedWeights:
        """Return the weights for a method with its parameters, for a seed.

        Raises
        ------
        BenchError
            If there are none, or more than one.
        """
        named = [t for t in self._all if t.method == recipe.name]
        if not named:
            there = ", ".join(sorted({t.method for t in self._all})) or "nothing"
            raise BenchError(f"{self._folder} holds no weights of {label}; it holds those of {there}")
        same = [t for t in named if t.params == parameters(recipe)]
        if not same:
            raise BenchError(
                f"{self._folder} holds weights of {recipe.name} with {_difference(named[0].params, recipe)}; set the "
                "same parameters"
            )
        fitting = [t for t in same if t.seed == seed]
        if not fitting:
            seeds = ",".join(str(s) for s in sorted({t.seed for t in same}))
            raise BenchError(f"{self._folder} holds no weights of {label} for seed {seed}; write --seeds {seeds},")
        if len(fitting) > 1:
            raise BenchError(
                f"{self._folder} holds {len(fitting)} weights of {label} for seed {seed}: "
                f"{'; '.join(t.origin for t in fitting[:3])}; load a run of one data set and condition"
            )
        return fitting[0]


def _difference(params: str, recipe: Any) -> str:
    """Return the parameters in which stored ones differ from a recipe's, as text."""
    try:
        stored: Mapping[str, Any] = parse_json(params)
    except ValueError:
        return "other parameters than can be read"
    asked: Mapping[str, Any] = json.loads(parameters(recipe))
    parts = [f"{k}={v} instead of {asked.get(k)}" for k, v in stored.items() if v != asked.get(k)]
    return ", ".join(parts) or "other parameters than this version's"
