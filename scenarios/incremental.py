"""Class-incremental learning: classes arrive in sessions, and every query is scored among all classes so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_sessions import ClassSessions, ExemplarBudget, arrivals, budget_of
from bench.sampling.class_split import Classes, class_order, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import check_declared, declared_beside_support, departures
from bench.sampling.sessions import make_task
from bench.utils.random import Stream


@scenario("incremental")
@dataclass(frozen=True, kw_only=True)
class Incremental(ClassSessions, ExemplarBudget):
    """Class-incremental learning, Base-B Inc-I (Rebuffi et al., iCaRL, CVPR 2017, arXiv:1611.07725).

    Session 0 brings ``base`` classes (``increment`` of them if ``base`` is 0), each further session ``increment``;
    the last one brings what is left. Class order is drawn by seed. A session's support holds its own classes only;
    queries cover all classes so far.

    Attributes
    ----------
    memory : str
        ``support`` lets the labelled images be the image memory; ``declared`` adds the data set's own image memory,
        class by class. Text items come with their classes in either case.
    """

    shots: Annotated[int, Ge(1)] | None = None
    memory: Literal["support", "declared"] = "support"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: base, increment, budget, number of sessions; a smaller last session is said."""
        check_declared(dataset, self.memory, "incremental.memory")
        sizes = self.sizes(len(eligible(dataset, self.classes)), dataset=dataset.name)
        yield {**departures(dataset, self.classes), **sizes, **self.limit()}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session a group of classes, in the class order of the seed."""
        memory = declared_beside_support(dataset, self.memory)
        labelled = Labelled.of(dataset, eligible(dataset, self.classes), memory)
        order = class_order(dataset.class_names, labelled.ids, rng.child("class-order"))
        support, budget = labelled.shots(self.shots, rng), budget_of(condition)
        sessions = []
        for number, (new, seen, notes) in enumerate(arrivals(order, condition)):
            given, items, queries = support.of_classes(new), memory.restrict(new), labelled.queries.of_classes(seen)
            task = make_task(dataset, seen, support=given, memory=items, budget=budget, session=number)
            sessions.append(Session(task=task, queries=queries, notes={**notes, **labelled.lost}))
        return Episode(sessions=tuple(sessions))
