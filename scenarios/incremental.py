"""Class-incremental learning: classes arrive in sessions, and every query is scored among all classes so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.registry import scenario
from bench.core.task import Budget, Episode, Session
from bench.sampling.class_split import Classes, eligible
from bench.sampling.memory_source import declared_memory, departures
from bench.sampling.sessions import make_task, shots, split_disjoint
from bench.utils.errors import BenchError
from bench.utils.random import Stream


@scenario("incremental")
@dataclass(frozen=True, kw_only=True)
class Incremental:
    """Class-incremental learning, Base-B Inc-I (Rebuffi et al., iCaRL, CVPR 2017, arXiv:1611.07725).

    Session 0 brings ``base`` classes (``increment`` of them if ``base`` is 0), each further session ``increment``;
    the last one brings what is left. Class order is drawn by seed. A session's support holds its own classes only;
    queries cover all classes so far.

    Attributes
    ----------
    base : int
        Classes of session 0; 0 takes ``increment``.
    increment : int or None
        None takes a tenth of the classes from 50 up (Inc10 for 100 classes), a fifth (at least 2) below.
    exemplars : int or None
        Budget over all classes together; None is no limit. It counts where neither of the next two is given.
    exemplars_per_class : int or None
        Budget of each class by itself.
    budget_bytes : int or None
        Budget of all that is carried to the next session, so that methods that keep exemplars and methods that keep
        statistics compare at equal memory: vectors and labels of exemplars, statistics and weights. Methods with
        exemplars keep as many, evenly by class, as fit beside their weights. What a method carries is measured after
        each session (``carried_bytes`` in the record's details), and a method whose statistics or weights alone are
        more is marked ``over_budget`` there and in reports.
    shots : int or None
        Labelled images a class; None takes all there are.
    memory : str
        ``support`` lets the labelled images be the image memory; ``declared`` adds the data set's own image memory,
        class by class. Text items come with their classes in either case.
    """

    base: Annotated[int, Ge(0)] = 0
    increment: Annotated[int, Ge(1)] | None = None
    exemplars: Annotated[int, Ge(0)] | None = 2000
    exemplars_per_class: Annotated[int, Ge(0)] | None = None
    budget_bytes: Annotated[int, Ge(1)] | None = None
    shots: Annotated[int, Ge(1)] | None = None
    memory: Literal["support", "declared"] = "support"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the one condition: base, increment, budget, number of sessions; a smaller last session is said."""
        n = len(eligible(dataset, self.classes))
        if self.base > n:
            raise BenchError(f"incremental.base={self.base} but data set {dataset.name} has {n} classes; lower it")
        if self.memory == "declared":
            declared_memory(dataset, "incremental.memory")
        increment = self.increment or (n // 10 if n >= 50 else max(2, n // 5))
        first = self.base or increment
        if first < 2:
            raise BenchError(
                "the first session needs at least two classes; set incremental.base=2 or a larger increment"
            )
        if self.exemplars_per_class is not None and self.budget_bytes is not None:
            raise BenchError("incremental.exemplars_per_class and incremental.budget_bytes exclude each other; set one")
        budget: dict[str, Any] = {"exemplars": self.exemplars}
        if self.exemplars_per_class is not None:
            budget = {"exemplars_per_class": self.exemplars_per_class}
        if self.budget_bytes is not None:
            budget = {"budget_bytes": self.budget_bytes}
        left = max(0, n - first)
        yield {
            **departures(dataset, self.classes),
            "base": self.base,
            "increment": increment,
            **budget,
            "sessions": 1 + -(-left // increment),
            **({"last_increment": left % increment} if left % increment else {}),
        }

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session a group of classes, in the class order of the seed."""
        ids = eligible(dataset, self.classes)
        order = tuple(ids[i] for i in rng.child("class-order").permutation(len(ids)))
        retrieved = dataset.memory if self.memory == "declared" else Memory.empty(dataset.dimension)
        every_query, pool, lost = split_disjoint(dataset, ids, retrieved)
        support = shots(pool, self.shots, rng, dataset=dataset.name, classes=ids)
        sessions: list[Session] = []
        budget = Budget(
            items=condition.get("exemplars"),
            per_class=condition.get("exemplars_per_class"),
            bytes=condition.get("budget_bytes"),
        )
        start, end = 0, condition["base"] or condition["increment"]
        while start < len(order):
            new, seen = order[start:end], order[:end]
            task = make_task(
                dataset,
                seen,
                support=support.of_classes(new),
                budget=budget,
                memory=dataset.memory.replace(images=retrieved.images).restrict(new),
                session=len(sessions),
            )
            notes: dict[str, Any] = {"new_classes": list(new), **lost}
            if sessions and len(new) < condition["increment"]:
                notes["smaller_session"] = f"{len(new)} classes were left for an increment of {condition['increment']}"
            sessions.append(Session(task=task, queries=every_query.of_classes(seen), notes=notes))
            start, end = end, end + condition["increment"]
        return Episode(sessions=tuple(sessions))
