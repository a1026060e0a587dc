"""Few labelled images of the tested classes, and a memory that never changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, eligible
from bench.sampling.memory_source import declared_memory, departures
from bench.sampling.sessions import assert_disjoint, exclude, make_task, require_shots, shots, split_disjoint
from bench.utils.random import Stream


@scenario("supervised")
@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Train and test on the same classes, with k labelled images each; the memory stays the same.

    Kang et al., Memory-Modular Classification, TMLR 2025, appendix, table 19. A method that trains does so on the
    shots and chooses on the validation role, if the data set has one.

    Attributes
    ----------
    shots : int or None
        Labelled images a class; None takes all there are.
    memory : str
        ``declared`` by the data set; ``rest`` uses the support images that are not shots as a web memory under
        their class names (the record says so); ``none`` leaves the shots alone; ``auto`` takes the first if it
        has images, then the second if there are any, then the last.
    """

    shots: Annotated[int, Ge(1)] | None = 4
    memory: Literal["auto", "declared", "rest", "none"] = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the one condition: the shots, and that the rest of the support stands in for a memory where it does."""
        told = departures(dataset, self.classes)
        ids = eligible(dataset, self.classes)
        _, pool, _ = split_disjoint(dataset, ids, dataset.memory)
        require_shots(pool, self.shots, ids, dataset=dataset.name)
        used = len(pool) if self.shots is None else self.shots * len(pool.labels.unique())
        if self._takes_rest(dataset) and used < len(pool):
            told["memory"] = "rest of the support"
        if self.memory == "declared":
            declared_memory(dataset, "supervised.memory")
        yield {**told, "shots": self.shots}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return training on the shots and one session on the same task."""
        ids = eligible(dataset, self.classes)
        queries, pool, lost = split_disjoint(dataset, ids, dataset.memory)
        support = shots(pool, condition["shots"], rng, dataset=dataset.name, classes=ids)
        memory, origin = dataset.memory, "declared"
        if self._takes_rest(dataset):
            rest = Items.of_features(exclude(pool, [support]), "rest of the support")
            memory, origin = memory.replace(images=rest), "rest of the support under its class names"
        if self.memory == "none" or not len(memory.images):
            memory, origin = Memory(memory.images.take([]), memory.texts), "none; methods retrieve from the shots"
        task = make_task(dataset, ids, support=support, memory=memory)
        notes = {"memory": origin, **lost}
        check = exclude(dataset.role("validation").of_classes(ids), [queries, pool])
        assert_disjoint(dataset.name, {"support": support, "validation": check, "queries": queries})
        return Episode(
            sessions=(Session(task=task, queries=queries, notes=notes),),
            training=Session(task=task, queries=support, notes=notes),
            validation=Session(task=task, queries=check, notes=notes) if len(check) else None,
        )

    def _takes_rest(self, dataset: Dataset) -> bool:
        return self.memory == "rest" or (self.memory == "auto" and not len(dataset.memory.images))
