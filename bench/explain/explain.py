"""Explanations of a finished run's answers: its episode is dealt again, its states are built again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.explanation import Explanation
from bench.core.protocols import Explains, Method
from bench.core.registry import METHODS, SCENARIOS
from bench.core.task import Episode
from bench.device.choose import choose_device
from bench.device.exactness import conscientiously
from bench.explain.interventions import intervene, parse_relabels
from bench.explain.rebuild import built_again, dealt_again, trained_again, tuned
from bench.explain.replay import Which, identity_of, recipe_of, same_data, select, session_number
from bench.learning.training_options import TrainingOptions, with_training_options
from bench.results.run_json import read_manifest
from bench.runner.handover import Handover, method_stream
from bench.runner.identity import evaluation_fingerprint
from bench.runner.recipes import LabelledRecipe
from bench.runner.states import SessionState
from bench.utils.errors import BenchError, Unsuitable

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Explained:
    """One query explained for one method, as the run had it and after an intervention."""

    method: str
    recorded: int
    before: Answer
    after: Answer | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One query of a run with the explanations of some methods.

    Attributes
    ----------
    warnings : tuple of str
        Why the explanation might not be that of the recorded answer.
    """

    query: str
    label: int
    data: Dataset
    scenario: str
    condition: str
    session: int
    seed: int
    exclude: tuple[str, ...]
    relabel: Mapping[str, int]
    explained: tuple[Explained, ...]
    warnings: tuple[str, ...]

    def name_of(self, label: int) -> str:
        """Return a class's name."""
        return self.data.class_names[label]


def explain(
    folder: Path,
    queries: str | Sequence[str],
    which: Which | None = None,
    *,
    exclude: Collection[str] = (),
    relabel: Sequence[str] = (),
    data: str | Path | Dataset | None = None,
    device: str = "cpu",
) -> list[Case]:
    """Return why methods of a run answered queries as they did, and what they would answer otherwise.

    Parameters
    ----------
    folder : Path
        The run's folder.
    queries : str or sequence of str
        Ids of queries; those after the first are explained where the first is.
    which : Which, optional
        Which of the answers.
    exclude : collection of str
        Ids of items to leave out.
    relabel : sequence of str
        ``ITEM=CLASS``: items to be found under another class.
    data : optional
        The data set, where its name no longer leads to it.
    device : str
        Where the states are made again: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    list of Case
        One a query. Without names of methods, those that can say what their answers rest on are explained.

    Raises
    ------
    BenchError
        If a query, an item or a method is not there, or the data or the dealing are not those of the run.
    """
    device = choose_device(device)
    names = [queries] if isinstance(queries, str) else list(queries)
    which = which or Which()
    manifest = read_manifest(folder)
    rows, recorded = select(folder, names, which)
    methods = _methods(manifest, rows, which)
    first = rows.iloc[0]
    dataset = same_data(data if data is not None else str(first["dataset"]), {str(k): v for k, v in first.items()})
    scenario = recipe_of(manifest, "scenarios", SCENARIOS, str(first["scenario"]))
    seed = int(first["seed"])
    episode = dealt_again(scenario, dataset, first.to_dict(), manifest).to(device)
    number = session_number(episode, int(first["session"]), str(first["queries_fingerprint"]), folder)
    wanted = _relabels(relabel, dataset, exclude)
    edited = intervene(episode, number, exclude, wanted) if exclude or wanted else None
    session = episode.sessions[number]
    ids = session.queries.ids.tolist()
    found: list[list[Explained]] = [[] for _ in names]
    places = [ids.index(name) for name in names]
    options = TrainingOptions(precision=manifest.get("precision", "fp32"))
    other = _other_code(manifest, scenario, [named for named, _ in methods])
    for named, row in methods:
        compute = partial(_explained, named, options, row, episode, edited, number, seed, folder, places)
        both, _ = conscientiously(device, compute)
        for place, (name, (before, after)) in enumerate(zip(names, both, strict=True)):
            found[place].append(
                Explained(method=named.label, recorded=recorded[str(row["cell"]), name], before=before, after=after)
            )
    return [
        Case(
            query=name,
            label=int(session.queries.labels[ids.index(name)]),
            data=dataset,
            scenario=str(first["scenario"]),
            condition=str(first["condition"]),
            session=session.task.session,
            seed=seed,
            exclude=tuple(sorted(exclude)),
            relabel=wanted,
            explained=tuple(explained),
            warnings=(*other, *_otherwise(explained)),
        )
        for name, explained in zip(names, found, strict=True)
    ]


def _explained(
    named: LabelledRecipe,
    options: TrainingOptions,
    row: Mapping[str, Any],
    episode: Episode,
    edited: Episode | None,
    number: int,
    seed: int,
    folder: Path,
    places: Sequence[int],
) -> list[tuple[Answer, Answer | None]]:
    """Return what a method says of each query, ``places`` among those of its session, before and after an edit."""
    rng = method_stream(seed, named.recipe.name)
    handover = Handover(episode, seed)
    recipe = trained_again(with_training_options(tuned(named.recipe, row), options), handover, rng, folder, row)
    before = built_again(recipe, handover, number, rng, named.label)
    after = None
    if edited is not None:
        try:
            after = built_again(recipe, Handover(edited, seed), number, rng, named.label)
        except Unsuitable as error:
            raise BenchError(f"after the intervention {named.label} {error}; leave more items in") from None
    session = episode.sessions[number]
    temperature = float(row["temperature"]) if row["temperature"] == row["temperature"] and row["temperature"] else 1.0
    answers = []
    for place in places:
        query = session.queries.x[place].float()
        answers.append(
            (
                _answer(recipe, before, handover, query, temperature),
                None if after is None else _answer(recipe, after, handover, query, temperature),
            )
        )
    return answers


def _relabels(lines: Sequence[str], dataset: Dataset, exclude: Collection[str]) -> dict[str, int]:
    """Return the class id each item is to have; an item that is left out too, or named twice, is refused."""
    wanted = parse_relabels(lines, dataset.class_names)
    for item in wanted:
        if item in exclude:
            raise BenchError(f"{item!r} is both left out and relabelled; ask for one of the two")
    if len(wanted) < len(lines):
        raise BenchError("an item is relabelled twice; name each once")
    return wanted


def _methods(
    manifest: Mapping[str, Any], rows: pd.DataFrame, which: Which
) -> list[tuple[LabelledRecipe, Mapping[str, Any]]]:
    """Return the methods to explain with their records: those that were named, or that can say what they rest on."""
    found: list[tuple[LabelledRecipe, Mapping[str, Any]]] = []
    for row in rows.to_dict("records"):
        label = str(row["method"])
        if not which.methods and identity_of(manifest, "methods", label)["params"].get("oracle"):
            continue
        named = recipe_of(manifest, "methods", METHODS, label)
        if which.methods or isinstance(named.recipe, Explains):
            found.append((named, {str(key): value for key, value in row.items()}))
    if not found:
        raise BenchError(
            "no method of the run can say what its answers rest on; name one with --method to see its scores alone"
        )
    return found


def _answer(method: Method, held: SessionState, handover: Handover, query: Tensor, temperature: float) -> Answer:
    classes = held.task.classes
    with torch.no_grad():
        scores = method.score(held.state, query.unsqueeze(0))[0].cpu()
        evidence = method.explain(held.state, held.task, query) if isinstance(method, Explains) else None
    if evidence is not None:
        names = handover.items({one.item for one in evidence.neighbours})
        items = tuple(replace(one, item=names[one.item]) for one in evidence.neighbours)
        evidence = replace(evidence, neighbours=items)
    best, column = scores.max(0)
    return Answer(
        prediction=classes[int(column)],
        confidence=float(1 / ((scores.float() - best.float()) / temperature).exp().sum()),
        scores=_largest(scores, classes),
        evidence=evidence,
        prototypes={b: _largest(cos.cpu(), classes) for b, cos in evidence.prototypes.items()} if evidence else {},
    )


def _largest(values: Tensor, classes: Sequence[int]) -> tuple[tuple[int, float], ...]:
    order = values.sort(descending=True, stable=True).indices[:SHOWN].tolist()
    return tuple((classes[column], float(values[column])) for column in order)


def _other_code(
    manifest: Mapping[str, Any], scenario: LabelledRecipe, methods: Sequence[LabelledRecipe]
) -> tuple[str, ...]:
    """Return a warning if what shaped the run's numbers is no longer the same."""
    now = [evaluation_fingerprint(), scenario.code, *(named.code for named in methods)]
    then = [
        manifest.get("code"),
        identity_of(manifest, "scenarios", scenario.label).get("code"),
        *(identity_of(manifest, "methods", named.label).get("code") for named in methods),
    ]
    said = "the run was made by other code than this; its states may have been others"
    return () if now == then else (said,)


def _otherwise(explained: Sequence[Explained]) -> list[str]:
    """Return a warning for each method whose answer is not the recorded one."""
    return [
        f"{e.method} answers otherwise than the run recorded; this is another machine, device or code"
        for e in explained
        if e.recorded != e.before.prediction
    ]
