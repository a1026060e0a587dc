"""Web-assisted zero-shot classification: no labelled image of a target class, a memory found by class name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from bench.dealing import (
    Classes,
    MemoryChoice,
    choose_memory,
    eligible,
    memory_session,
    split_classes,
    training_session,
    without,
)
from bench.errors import BenchError
from bench.registry import scenario
from bench.search import top_k
from bench.streams import Stream
from bench.task import Dataset, Episode, Session


@scenario("web-zero-shot")
@dataclass(frozen=True, kw_only=True)
class WebZeroShot:
    """Seen classes to train on, validation classes to choose on, unseen classes to answer for by memory alone.

    Kang et al., Memory-Modular Classification, TMLR 2025, section 4.2. Within one data set the classes are split;
    with ``train_on`` a method is trained on another data set and answers for all classes of this one.

    Attributes
    ----------
    seen, validation : float
        Shares of the classes, if the data set declares no split of its own; the rest are unseen.
    train_images : int
        Labelled training images a seen class, at most; what there is is used.
    train_on : str or None
        Name or path of the data set to train on, for cross-dataset transfer.
    memory : str
        ``declared`` by the data set; ``support`` lets the support split stand in for a web memory under its class
        names (the record says so); ``auto`` takes the first if it has images.
    evidence : int
        On how many queries of the unseen classes to look at what methods that can say it answer from: the share of
        neighbours of the right class, similarity to right and wrong prototypes; 0 for none.
    duplicates : float or None
        Memory images of the target classes with at least this cosine to a query are left out; None keeps them all.
    """

    seen: Annotated[float, Gt(0)] = 0.6
    validation: Annotated[float, Ge(0)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    train_on: str | None = None
    memory: MemoryChoice = "auto"
    duplicates: Annotated[float, Gt(0), Le(1)] | None = None
    evidence: Annotated[int, Ge(0)] = 0
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the one condition: within this data set or across from another."""
        if self.seen + self.validation >= 1:
            raise BenchError(
                f"web-zero-shot.seen={self.seen} and .validation={self.validation} leave no unseen class; lower them"
            )
        yield {"transfer": "single" if self.train_on is None else f"from {self.train_on}"}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return training on seen classes, validation on others, and one session on the unseen."""
        if source is not None:
            classes = eligible(source, "all")
            return Episode(
                sessions=(self._deduplicated(dataset, eligible(dataset, self.classes)),),
                training=self._training(source, classes, rng),
                validation=self._validation(source, classes, rng),
            )
        ids = eligible(dataset, self.classes)
        seen, validation, unseen = split_classes(dataset, ids, seen=self.seen, validation=self.validation, rng=rng)
        return Episode(
            sessions=(self._deduplicated(dataset, unseen),),
            training=self._training(dataset, seen, rng),
            validation=self._target(dataset, validation) if len(validation) > 1 else None,
        )

    def _target(self, dataset: Dataset, classes: Sequence[int]) -> Session:
        return memory_session(dataset, classes, *choose_memory(dataset, self.memory))

    def _deduplicated(self, dataset: Dataset, classes: Sequence[int]) -> Session:
        """Return the target session; the queries are those of the whole memory, so that they stay the same."""
        session = replace(self._target(dataset, classes), evidence=self.evidence)
        images = session.task.memory.images
        if self.duplicates is None or not len(images):
            return session
        nearest = top_k(images.x, session.queries.x, 1).similarities[:, 0]
        kept = images.take(nearest < self.duplicates)
        task = replace(session.task, memory=session.task.memory.replace(images=kept))
        return replace(session, task=task, notes={**session.notes, "duplicates_dropped": len(images) - len(kept)})

    def _training(self, dataset: Dataset, classes: Sequence[int], rng: Stream) -> Session:
        memory, origin = choose_memory(dataset, self.memory)
        return training_session(dataset, classes, memory, origin, images=self.train_images, rng=rng)

    def _validation(self, dataset: Dataset, classes: Sequence[int], rng: Stream) -> Session:
        """Return other images of the classes that were trained on: with cross-dataset transfer all are seen."""
        trained = self._training(dataset, classes, rng)
        session = self._target(dataset, classes)
        return Session(task=session.task, queries=without(session.queries, [trained.queries]), notes=session.notes)
