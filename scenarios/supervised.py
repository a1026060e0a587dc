"""Few labelled images of the tested classes, and a memory that never changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import check_declared, departures
from bench.sampling.sessions import assert_disjoint, exclude
from bench.sampling.support_memory import Rest, rest_stands_in, with_rest
from bench.utils.random import Stream


@scenario("supervised")
@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Train and test on the same classes, with k labelled images each; the memory stays the same.

    Kang et al., Memory-Modular Classification, TMLR 2025, appendix, table 19. A method that trains does so on the
    shots and chooses on the validation role, if the data set has one.

    Attributes
    ----------
    memory : str
        ``shots`` are all that methods learn and retrieve from, so that all see the same labels; ``declared`` adds the
        data set's own memory; ``rest`` adds the support images that are not shots under their class names, which is
        more labels for methods that retrieve (the condition and ``labels_seen`` say so).
    """

    shots: Annotated[int, Ge(1)] | None = 4
    memory: Rest = "shots"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: the shots, and that the rest of the support stands in for a memory where it does."""
        check_declared(dataset, self.memory, "supervised.memory")
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        stand_in = rest_stands_in(dataset, self.memory, frame.pool, frame.shots(self.shots, Stream(0)))
        yield {**departures(dataset, self.classes), **stand_in, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return training on the shots and one session on the same task."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        support = frame.shots(condition["shots"], rng)
        tested = frame.session(support, *with_rest(dataset, self.memory, frame.pool, support))
        check = exclude(dataset.role("validation").of_classes(frame.ids), [frame.queries, frame.pool])
        assert_disjoint(dataset.name, {"support": support, "validation": check, "queries": frame.queries})
        training, validation = (replace(tested, queries=images) for images in (support, check))
        return Episode(sessions=(tested,), training=training, validation=validation if len(check) else None)
