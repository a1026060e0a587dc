"""Explanations of a finished run's answers: its episode is dealt again, its states are built again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.dataset import Dataset
from bench.device.choose import choose_device
from bench.explain.interventions import parse_relabels
from bench.explain.removals import Removals, removals
from bench.explain.replay import Which, select
from bench.explain.scene import Answer, Scene
from bench.utils.errors import BenchError


@dataclass(frozen=True, eq=False, kw_only=True)
class Explained:
    """One query explained for one method, as the run had it and after an intervention.

    Attributes
    ----------
    removals : Removals or None
        Which items' removal would change the answer; None where that was not asked, or no certificate is known.
    """

    method: str
    recorded: int
    before: Answer
    after: Answer | None
    removals: Removals | None = None


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
    removed: bool = False,
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
    removed : bool
        Whether to look, for methods with certificates, for the items whose removal would change the answer.

    Returns
    -------
    list of Case
        One a query. Without names of methods, those that can say what their answers rest on are explained.

    Raises
    ------
    BenchError
        If a query, an item or a method is not there, or the data or the dealing are not those of the run.
    """
    names = [queries] if isinstance(queries, str) else list(queries)
    which = which or Which()
    chosen = choose_device(device)
    rows, recorded = select(folder, names, which)
    scene = Scene(folder, rows, methods=which.methods, data=data, device=chosen)
    wanted = _relabels(relabel, scene.data, exclude)
    edited = scene.edited(exclude, wanted)
    cells = dict(zip(rows["method"], rows["cell"], strict=True))
    found: list[list[Explained]] = [[] for _ in names]
    other = scene.warnings()
    for label in scene.labels:
        both = scene.answers(label, names, edited)
        gone = [
            removals(scene, label, name, exclude=exclude, relabel=wanted)
            if removed and scene.certifies(label)
            else None
            for name in names
        ]
        scene.forget(label)
        for place, (name, (before, after)) in enumerate(zip(names, both, strict=True)):
            then = recorded[str(cells[label]), name]
            found[place].append(
                Explained(method=label, recorded=then, before=before, after=after, removals=gone[place])
            )
    return [
        Case(
            query=name,
            label=scene.label_of(name),
            data=scene.data,
            scenario=scene.scenario,
            condition=scene.condition,
            session=scene.session,
            seed=scene.seed,
            exclude=tuple(sorted(exclude)),
            relabel=wanted,
            explained=tuple(explained),
            warnings=(*other, *_otherwise(explained)),
        )
        for name, explained in zip(names, found, strict=True)
    ]


def _relabels(lines: Sequence[str], dataset: Dataset, exclude: Collection[str]) -> dict[str, int]:
    """Return the class id each item is to have; an item that is left out too, or named twice, is refused."""
    wanted = parse_relabels(lines, dataset.class_names)
    for item in wanted:
        if item in exclude:
            raise BenchError(f"{item!r} is both left out and relabelled; ask for one of the two")
    if len(wanted) < len(lines):
        raise BenchError("an item is relabelled twice; name each once")
    return wanted


def _otherwise(explained: Sequence[Explained]) -> list[str]:
    """Return a warning for each method whose answer is not the recorded one."""
    return [
        f"{e.method} answers otherwise than the run recorded; this is another machine, device or code"
        for e in explained
        if e.recorded != e.before.prediction
    ]
