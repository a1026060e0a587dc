"""Web-assisted zero-shot classification: no labelled image of a target class, a memory found by class name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import exclude, memory_session, training_session
from bench.search.threshold import reaches
from bench.utils.random import Stream

_ROWS = 1 << 16
"""Memory images that are compared with the queries at a time."""


@scenario("web-zero-shot")
@dataclass(frozen=True, kw_only=True)
class WebZeroShot:
    """Train on seen classes, choose on validation classes, and classify unseen classes with the memory alone.

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
        if self.train_on is None:
            check_split(dataset, seen=self.seen, validation=self.validation)
        transfer = "single" if self.train_on is None else f"from {self.train_on}"
        yield {"transfer": transfer, **departures(dataset, self.classes, self.memory)}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return training on seen classes, validation on others, and one session on the unseen."""
        ids = eligible(dataset, self.classes)
        if source is not None:
            asked = self._deduplicated(dataset, ids)
            classes = eligible(source, "all")
            training = self._training(source, classes, rng, asked=[asked.queries])
            # Other images of the classes that were trained on, since with another data set all are seen.
            check = self._target(source, classes)
            check = replace(check, queries=exclude(check.queries, [training.queries, asked.queries]))
            return Episode(sessions=(asked,), training=training, validation=check)
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
        near = [reaches(block, session.queries.x, self.duplicates) for block in images.x.split(_ROWS)]
        kept = images.take(~torch.cat(near))
        task = replace(session.task, memory=session.task.memory.replace(images=kept))
        return replace(session, task=task, notes={**session.notes, "duplicates_dropped": len(images) - len(kept)})

    def _training(
        self, dataset: Dataset, classes: Sequence[int], rng: Stream, asked: Sequence[Features] = ()
    ) -> Session:
        memory, origin = choose_memory(dataset, self.memory)
        return training_session(dataset, classes, memory, origin, images=self.train_images, rng=rng, asked=asked)
