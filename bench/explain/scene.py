"""One episode of a run, dealt again and held, so that many queries and many edits of its memory can be asked about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.core.certificate import Certificate, Certifies, Edit, NamesRemovals
from bench.core.dataset import Dataset
from bench.core.explanation import Explanation
from bench.core.protocols import Explains, Method
from bench.core.registry import METHODS, SCENARIOS
from bench.core.task import Episode, Task
from bench.device.exactness import conscientiously
from bench.explain.interventions import intervene
from bench.explain.rebuild import built_again, dealt_again, trained_again, tuned
from bench.explain.replay import identity_of, recipe_of, same_data, session_number
from bench.learning.training_options import TrainingOptions, with_training_options
from bench.results.run_json import read_manifest
from bench.runner.handover import Handover, method_stream
from bench.runner.identity import evaluation_fingerprint
from bench.runner.recipes import LabelledRecipe
from bench.runner.states import SessionState
from bench.utils.errors import BenchError, Unsuitable
from bench.utils.names import printable
from bench.utils.random import Stream

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Classes with the largest scores that an answer names."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What a method says of the query.

    Attributes
    ----------
    prediction : int
        Class id.
    confidence : float
        Softmax probability of the prediction, of the scores over the temperature that the run fitted.
    scores : tuple of (int, float)
        The classes with the largest scores, best first.
    evidence : Explanation or None
        What it rests on; None for a method that cannot say.
    prototypes : mapping of str to tuple of (int, float)
        By branch, the classes with the most similar prototypes, best first.
    """

    prediction: int
    confidence: float
    scores: tuple[tuple[int, float], ...]
    evidence: Explanation | None
    prototypes: Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, eq=False)
class _Built:
    """A method as the run had it: trained, and its state in the scene's session."""

    recipe: Method
    rng: Stream
    handover: Handover
    state: SessionState
    temperature: float


class Scene:
    """The methods of one episode and session of a run.

    Parameters
    ----------
    folder : Path
        The run's folder.
    rows : DataFrame
        The records of the session, a row a method, as :func:`bench.results.run_folder.read_records` gives them.
    methods : sequence of str
        Those to be asked, as the run names them; by default those that can say what their answers rest on.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        Where states are made again.

    Raises
    ------
    BenchError
        If no method can be asked, or the data or the dealing are not those of the run.
    """

    def __init__(
        self,
        folder: Path,
        rows: pd.DataFrame,
        *,
        methods: Sequence[str] = (),
        data: str | Path | Dataset | None = None,
        device: str = "cpu",
    ) -> None:
        self.folder, self.device = folder, device
        self._manifest = read_manifest(folder)
        first = {str(key): value for key, value in rows.iloc[0].items()}
        self.scenario, self.condition, self.seed = str(first["scenario"]), str(first["condition"]), int(first["seed"])
        self._methods = {named.label: (named, row) for named, row in _asked(self._manifest, rows, methods)}
        self.data = same_data(data if data is not None else str(first["dataset"]), first)
        self._dealer = recipe_of(self._manifest, "scenarios", SCENARIOS, self.scenario)
        self.episode = dealt_again(self._dealer, self.data, first, self._manifest).to(device)
        self.number = session_number(self.episode, int(first["session"]), str(first["queries_fingerprint"]), folder)
        self._built: dict[str, _Built] = {}

    @property
    def labels(self) -> list[str]:
        """The methods, in the order of the records."""
        return list(self._methods)

    @property
    def session(self) -> int:
        """The session, as the run counts it."""
        return self._task.session

    @property
    def _task(self) -> Task:
        return self.episode.sessions[self.number].task

    def name_of(self, label: int) -> str:
        """Return a class's name."""
        return printable(self.data.class_names[label])

    def class_names(self) -> list[str]:
        """Return the names of the classes of the session's task."""
        return [self.name_of(label) for label in self._task.classes]

    def images_of(self, label: int) -> tuple[list[str], Tensor]:
        """Return the labelled images of a class that were dealt up to the session: their ids, and vectors [n, d]."""
        first = self.number if self.episode.independent else 0
        found: dict[str, Tensor] = {}
        for session in self.episode.sessions[first : self.number + 1]:
            items = session.task.all_images
            own = (items.labels == label).nonzero().squeeze(1)
            found |= dict(zip(items.ids[own.cpu().numpy()].tolist(), items.x[own].float(), strict=True))
        return list(found), torch.stack([*found.values()]) if found else torch.zeros(0, self._query(0).shape[0])

    def query(self, name: str) -> Tensor:
        """Return a query's vector [d]."""
        return self._query(self._place(name))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.episode.sessions[self.number].queries.ids.tolist())}

    def explains(self, label: str) -> bool:
        """Return whether a method can say what its answers rest on."""
        return isinstance(self._methods[label][0].recipe, Explains)

    def label_of(self, query: str) -> int:
        """Return a query's class id."""
        return int(self.episode.sessions[self.number].queries.labels[self._place(query)])

    def _place(self, query: str) -> int:
        if query not in self._places:
            raise BenchError(f"{query!r} was not asked in session {self.session}; choose another query")
        return self._places[query]

    def edited(self, exclude: Collection[str], relabel: Mapping[str, int]) -> Episode | None:
        """Return the episode after an intervention; None for one that changes nothing."""
        return intervene(self.episode, self.number, exclude, relabel) if exclude or relabel else None

    def warnings(self) -> tuple[str, ...]:
        """Return a warning if what shaped the run's numbers is no longer the same."""
        recipes = [named for named, _ in self._methods.values()]
        now = [evaluation_fingerprint(), self._dealer.code, *(named.code for named in recipes)]
        then = [
            self._manifest.get("code"),
            identity_of(self._manifest, "scenarios", self._dealer.label).get("code"),
            *(identity_of(self._manifest, "methods", named.label).get("code") for named in recipes),
        ]
        said = "the run was made by other code than this; its states may have been others"
        return () if now == then else (said,)

    def answers(
        self, label: str, queries: Sequence[str], edited: Episode | None = None
    ) -> list[tuple[Answer, Answer | None]]:
        """Return what a method says of each query as the run had it, and from an edited episode if one is given.

        Raises
        ------
        BenchError
            If a query was not asked in the session, or the method lacks what it needs after the intervention.
        """
        places = [self._place(query) for query in queries]
        both, _ = conscientiously(self.device, partial(self._answers, label, places, edited))
        return both

    def certificate(self, label: str, query: str, edit: Edit, most: int) -> Certificate | str:
        """Return how many edits of one kind change a method's answer to a query, or why that is not known."""
        built = self._as_recorded(label)
        if not isinstance(built.recipe, Certifies):
            return "no certificate is known for it"
        x = self._query(self._place(query)).unsqueeze(0)
        try:
            with torch.no_grad():
                return built.recipe.certify(built.state.state, built.state.task, x, edit, most)
        except Unsuitable as error:
            return str(error)

    def fewest_removals(self, label: str, query: str, most: int) -> list[tuple[str, ...]]:
        """Return sets of the fewest items whose removal changes a method's answer, where it can name them."""
        built = self._as_recorded(label)
        if not isinstance(built.recipe, NamesRemovals):
            return []
        try:
            with torch.no_grad():
                x = self._query(self._place(query))
                sets = built.recipe.fewest_removals(built.state.state, built.state.task, x, most)
        except Unsuitable:
            return []
        names = built.handover.items({item for one in sets for item in one})
        return [tuple(names[item] for item in one) for one in sets]

    def certifies(self, label: str) -> bool:
        """Return whether certificates are known for a method."""
        return isinstance(self._methods[label][0].recipe, Certifies)

    def forget(self, label: str) -> None:
        """Let go of a method's state, which is made again if it is asked for."""
        self._built.pop(label, None)

    def _query(self, place: int) -> Tensor:
        return self.episode.sessions[self.number].queries.x[place].float()

    def _as_recorded(self, label: str) -> _Built:
        if label in self._built:
            return self._built[label]
        named, row = self._methods[label]
        rng = method_stream(self.seed, named.recipe.name)
        handover = Handover(self.episode, self.seed)
        options = TrainingOptions(precision=self._manifest.get("precision", "fp32"))
        configured = with_training_options(tuned(named.recipe, row), options)
        recipe = trained_again(configured, handover, rng, self.folder, row)
        state = built_again(recipe, handover, self.number, rng, label)
        fitted = row["temperature"]
        temperature = float(fitted) if fitted == fitted and fitted else 1.0
        self._built[label] = _Built(recipe, rng, handover, state, temperature)
        return self._built[label]

    def _answers(self, label: str, places: Sequence[int], edited: Episode | None) -> list[tuple[Answer, Answer | None]]:
        before, after = self._as_recorded(label), None
        if edited is not None:
            try:
                after = built_again(before.recipe, Handover(edited, self.seed), self.number, before.rng, label)
            except Unsuitable as error:
                raise BenchError(f"after the intervention {label} {error}; leave more items in") from None
        return [
            (
                _answer(before, before.state, self._query(place)),
                None if after is None else _answer(before, after, self._query(place)),
            )
            for place in places
        ]


def _asked(
    manifest: Mapping[str, Any], rows: pd.DataFrame, methods: Sequence[str]
) -> list[tuple[LabelledRecipe, Mapping[str, Any]]]:
    """Return the methods to ask with their records: those that were named, or that can say what they rest on."""
    found: list[tuple[LabelledRecipe, Mapping[str, Any]]] = []
    for row in rows.to_dict("records"):
        label = str(row["method"])
        if not methods and identity_of(manifest, "methods", label)["params"].get("oracle"):
            continue
        named = recipe_of(manifest, "methods", METHODS, label)
        if methods or isinstance(named.recipe, Explains):
            found.append((named, {str(key): value for key, value in row.items()}))
    if not found:
        raise BenchError(
            "no method of the run can say what its answers rest on; name one with --method to see its scores alone"
        )
    return found


def _answer(built: _Built, held: SessionState, query: Tensor) -> Answer:
    classes, method = held.task.classes, built.recipe
    with torch.no_grad():
        scores = method.score(held.state, query.unsqueeze(0))[0].cpu()
        evidence = method.explain(held.state, held.task, query) if isinstance(method, Explains) else None
    if evidence is not None:
        names = built.handover.items({one.item for one in evidence.neighbours})
        items = tuple(replace(one, item=names[one.item]) for one in evidence.neighbours)
        evidence = replace(evidence, neighbours=items)
    best, column = scores.max(0)
    return Answer(
        prediction=classes[int(column)],
        confidence=float(1 / ((scores.float() - best.float()) / built.temperature).exp().sum()),
        scores=_largest(scores, classes),
        evidence=evidence,
        prototypes={b: _largest(cos.cpu(), classes) for b, cos in evidence.prototypes.items()} if evidence else {},
    )


def _largest(values: Tensor, classes: Sequence[int]) -> tuple[tuple[int, float], ...]:
    order = values.sort(descending=True, stable=True).indices[:SHOWN].tolist()
    return tuple((classes[column], float(values[column])) for column in order)
