"""The episodes of a finished run, dealt again, with the states of its methods after one of their sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.registry import METHODS, SCENARIOS
from bench.core.scored import scored
from bench.core.task import Episode, Session
from bench.device.choose import choose_device
from bench.explain.rebuild import built_again, dealt_again, trained_again, tuned
from bench.explain.replay import Which, finished, recipe_of, same_data, session_number
from bench.learning.training_options import TrainingOptions, with_training_options
from bench.results.run_json import read_manifest
from bench.runner.handover import Handover, method_stream
from bench.runner.recipes import LabelledRecipe
from bench.runner.states import SessionState
from bench.utils.errors import BenchError
from bench.utils.random import Stream

if TYPE_CHECKING:
    import pandas as pd

CELL = ("scenario", "dataset", "condition", "seed")
"""What an episode is dealt for."""


@dataclass(frozen=True, eq=False)
class Held:
    """A method with what it holds after the session.

    Attributes
    ----------
    row : mapping
        Its record.
    given : Any
        The method with the parameters that it had.
    method : Any
        With the weights that it had, too.
    rng : Stream
        Of its draws.
    """

    label: str
    row: Mapping[str, Any]
    given: Any
    method: Any
    state: SessionState
    rng: Stream

    def predictions(self, x: Tensor) -> np.ndarray:
        """Return the class ids that it answers queries [q, d] with, int64 [q]."""
        with torch.no_grad():
            columns = scored(self.method, self.state.state, x.float(), self.label).argmax(1)
        found: np.ndarray = np.asarray(self.state.task.classes)[columns.cpu().numpy()]
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class DealtAgain:
    """One episode of a run.

    Attributes
    ----------
    folder : Path
        The run's.
    manifest : mapping
        Its run.json.
    about : mapping
        Scenario, data set, condition and seed.
    rows : DataFrame
        The records of the session, a row a method.
    number : int
        The place of the session in the episode.
    """

    folder: Path
    manifest: Mapping[str, Any]
    about: Mapping[str, Any]
    rows: pd.DataFrame
    dataset: Dataset
    scenario: LabelledRecipe
    episode: Episode
    number: int
    device: str = field(default="cpu")

    @property
    def session(self) -> Session:
        """The session that is looked at."""
        return self.episode.sessions[self.number]

    @cached_property
    def handover(self) -> Handover:
        """What hands tasks to methods."""
        return Handover(self.episode, int(self.about["seed"]))

    def recipe(self, label: str) -> Any:
        """Return a method with the parameters that the run gave it."""
        return recipe_of(self.manifest, "methods", METHODS, label).recipe

    def held(self, label: str) -> Held:
        """Return a method with its state after the session.

        Raises
        ------
        Unsuitable
            If the method lacks what it needs there.
        """
        row = {str(k): v for k, v in self.rows[self.rows["method"] == label].iloc[0].items()}
        options = TrainingOptions(precision=self.manifest.get("precision", "fp32"))
        recipe = self.recipe(label)
        rng = method_stream(int(self.about["seed"]), recipe.name)
        given = with_training_options(tuned(recipe, row), options)
        method = trained_again(given, self.handover, rng, self.folder, row)
        return Held(label, row, given, method, built_again(method, self.handover, self.number, rng, label), rng)

    def require_recorded(self, held: Held) -> np.ndarray:
        """Return which queries a method answers rightly, bool [q]; they must be as many as the run recorded."""
        queries = self.session.queries
        right: np.ndarray = held.predictions(queries.x) == queries.labels.cpu().numpy()
        if int(right.sum()) != int(held.row["n_correct"]):
            raise BenchError(
                f"{held.label} answers otherwise than {self.folder} recorded; do this on the machine and with the code "
                "of the run"
            )
        return right


def dealt_episodes(
    folder: Path,
    which: Which,
    *,
    methods: Sequence[str] | None = None,
    data: str | Path | Dataset | None = None,
    device: str = "cpu",
) -> Iterator[DealtAgain]:
    """Yield the episodes of a run that are meant, each at the session that is meant: the last unless one is named.

    Parameters
    ----------
    folder : Path
        The run's folder.
    which : Which
        Which conditions, seeds and methods.
    methods : sequence of str, optional
        Only these of the methods.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    BenchError
        If there is no such session, or the data or the dealing are not those of the run.
    """
    place, manifest = choose_device(device), read_manifest(folder)
    records = finished(folder, which)
    if methods is not None:
        records = records[records["method"].isin(methods)]
    for keys, cells in records.groupby(list(CELL), sort=False):
        last = cells["session"].max() if which.session is None else which.session
        rows = cells[cells["session"] == last]
        if rows.empty:
            raise BenchError(f"the run has no session {last}; its last is {cells['session'].max()}")
        first = {str(key): value for key, value in rows.iloc[0].items()}
        dataset = same_data(data if data is not None else str(first["dataset"]), first)
        scenario = recipe_of(manifest, "scenarios", SCENARIOS, str(first["scenario"]))
        episode = dealt_again(scenario, dataset, first, manifest).to(place)
        yield DealtAgain(
            folder=folder,
            manifest=manifest,
            about=dict(zip(CELL, keys, strict=True)),
            rows=rows,
            dataset=dataset,
            scenario=scenario,
            episode=episode,
            number=session_number(episode, int(first["session"]), str(first["queries_fingerprint"]), folder),
            device=place,
        )
