"""The choice among configurations of a method: as many for every method, on images that are no queries."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from bench.core.features import Features
from bench.core.protocols import Method, Trains
from bench.core.task import Session, Task
from bench.learning.choosing import NOT_SPARED
from bench.learning.training_options import TrainingOptions, with_training_options
from bench.runner.answers import check_scores
from bench.runner.handover import QUERY_BLOCK, Handed, Handover, method_stream
from bench.runner.scoring import Scorer
from bench.runner.selection import SelectOn
from bench.runner.states import session_stream
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from bench.utils.recipe_fields import defaults, evolve, initial

_MOST = 4
"""Images of a class that are held out of the support at most, and no more than half."""
_PROBLEMS = 10
"""Few-shot problems that configurations are compared on."""
NOTHING_FREE = "no image of the validation split is of these classes and outside the queries, support and memory"
"""Why a data set's validation split chooses nothing though it has one."""


@dataclass(frozen=True)
class Budget:
    """How many configurations are tried, and on what they are compared."""

    configurations: int = 1
    select_on: SelectOn = "support"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    method : Method
        The configuration with the most right answers; of several the one that was tried first.
    configurations : int
        How many were tried.
    selected_on : str
        One of :data:`SelectOn`; ``none`` for defaults, and ``none: REASON`` where the data could not give it.
    details : mapping
        The parameters that were chosen, and how many of how many answers of each configuration were right.
    labels : int
        Labels of the target classes that configurations were compared by, beside those of the support.
    """

    method: Method
    configurations: int = 1
    selected_on: str = "none"
    details: Mapping[str, Any] = field(default_factory=dict)
    labels: int = 0
    seconds: float = 0.0


def configurations(method: Method, count: int, rng: Stream) -> list[tuple[dict[str, Any], Method]]:
    """Return the defaults and ``count - 1`` other configurations of a method's grid, or all there are.

    A parameter that was set to something else than its default is none of the grid's any more. Which configurations
    come first is drawn by their words, so more of them include fewer.
    """
    plain, own = initial(type(method)), defaults(method)
    axes = {k: list(v) for k, v in method.about.grid.items() if k in own and plain.get(k) == own[k]}
    made = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    others = [one for one in made if any(own[key] != value for key, value in one.items())]
    order = rng.child("tune").order([repr(sorted(one.items())) for one in others])
    chosen = [others[place] for place in order[: count - 1]]
    return [({}, method), *((one, evolve(method, **one)) for one in chosen)]


def choose(method: Method, handover: Handover, budget: Budget, label: str, options: TrainingOptions) -> Choice:
    """Return the configuration of a method that answers most of the images to choose on rightly.

    Raises
    ------
    BenchError
        If the scenario deals no validation classes and they are asked for, or a configuration returns no scores.
    """
    start = time.perf_counter()
    tried = configurations(method, budget.configurations, Stream(handover.seed).child(method.name))
    if len(tried) == 1:
        return Choice(method=method)
    problems = list(_problems(handover, budget.select_on))
    if not any(len(problem.images) for problem in problems):
        return Choice(method=method, selected_on=f"none: {_nothing(handover, budget.select_on)}")
    right = [
        sum(_right(one, problem, handover, label, options) for problem in problems if len(problem.images))
        for _, one in tried
    ]
    at = right.index(max(right))
    values, best = tried[at]
    asked = sum(len(problem.images) for problem in problems)
    return Choice(
        method=best,
        configurations=len(tried),
        selected_on=budget.select_on,
        details={"parameters": values, "right": right, "of": asked},
        labels=asked if budget.select_on == "validation-split" else 0,
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """A task with labelled images of its classes to choose on, and the number of its session."""

    task: Task
    images: Features
    number: int = 0


def _problems(handover: Handover, select_on: SelectOn) -> Iterator[_Problem]:
    episode = handover.episode
    if select_on == "validation-classes":
        check = episode.validation
        assert check is not None, "dealing refuses a run without them"
        yield _Problem(check.task, check.queries)
        return
    # What is chosen in the first session of several holds for those that follow.
    for number, session in enumerate(episode.sessions[: _PROBLEMS if episode.independent else 1]):
        task = session.task
        if select_on == "validation-split":
            yield _Problem(task, task.choose_on if task.choose_on is not None else task.support.emptied(), number)
        elif len(task.support):
            held = handover.held_out(task.support, lambda images: min(_MOST, images // 2))
            yield _Problem(replace(task, support=task.support.take(~held)), task.support.take(held), number)


def _nothing(handover: Handover, select_on: SelectOn) -> str:
    if select_on == "support":
        dealt = len(handover.episode.sessions[0].task.support)
        return NOT_SPARED if dealt else "no labelled images of the classes are dealt"
    return NOTHING_FREE


def _right(method: Method, problem: _Problem, handover: Handover, label: str, options: TrainingOptions) -> int:
    """Return how many images a configuration answers rightly, trained and built as in the run."""
    rng, handed = method_stream(handover.seed, method.name), Handed(label)
    # A checkpoint is that of the configuration that is run in the end.
    method = with_training_options(method, replace(options, checkpoints=None))
    training, validation = handover.episode.training, handover.episode.validation
    if isinstance(method, Trains) and training is not None:
        parts = (handed.give(handover.nameless(part)) if part is not None else None for part in (training, validation))
        method = method.train(*parts, rng=rng.child("train"))  # type: ignore[arg-type]
    session = Session(task=problem.task, queries=problem.images)
    stream = session_stream(rng, session, problem.number)
    state = method.build(handed.give(handover.nameless(problem.task)), rng=stream)
    best, scorer = [], Scorer(method, state, label)
    for block in scorer.parts(problem.images.x.float().split(QUERY_BLOCK)):
        with handed.block(block) as part, torch.no_grad():
            scores = scorer(part)
            check_scores(label, scores, len(part), problem.task)
        best.append(scores.argmax(1).cpu())
    return int((torch.cat(best) == problem.task.columns(problem.images.labels).cpu()).sum())


def check_select_on(select_on: SelectOn, episode_validation: Session | None, targets: set[int], scenario: str) -> None:
    """Raise :class:`BenchError` if validation classes are asked for and the scenario deals none."""
    if select_on != "validation-classes":
        return
    if episode_validation is None or not len(episode_validation.queries):
        raise BenchError(
            f"--selection validation-classes, and {scenario} deals none here; set {scenario}.seen and "
            f"{scenario}.validation where it has them, or choose --selection support"
        )
    if set(episode_validation.task.classes) & targets:
        raise BenchError(
            f"--selection validation-classes, and {scenario} validates on the classes that it asks about; choose "
            "--selection support or validation-split"
        )
