"""Accuracy against the size of the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import memory_session, prefix, training_and_validation
from bench.utils.random import Stream


@scenario("memory-size")
@dataclass(frozen=True, kw_only=True)
class MemorySize:
    """The memory of the target classes is cut to k items per class and modality; one condition per k.

    Kang et al., Memory-Modular Classification, TMLR 2025, figure 3 and table 12. Training on seen classes uses their
    whole memory. The queries are the same for all sizes.

    Attributes
    ----------
    sizes : tuple of int or None
        Items a class, one condition each; a class that has fewer gives what it has; None is all.
    modality : str
        Which items are cut.
    seen, validation, train_images
        As in web-zero-shot; 0 seen trains nothing and takes all classes as targets.
    """

    sizes: Annotated[tuple[Annotated[int, Ge(1)] | None, ...], MinLen(1)] = (1, 2, 4, 8, 16, None)
    modality: Literal["both", "images", "texts"] = "both"
    seen: Annotated[float, Ge(0), Lt(1)] = 0.6
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the sizes."""
        check_split(dataset, seen=self.seen, validation=self.validation)
        told = departures(dataset, self.classes, self.memory)
        for size in self.sizes:
            yield {**told, "items": "all" if size is None else size}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session on the target classes with a cut memory."""
        seen, validation, target = split_classes(
            dataset, eligible(dataset, self.classes), seen=self.seen, validation=self.validation, rng=rng
        )
        memory, origin = choose_memory(dataset, self.memory)
        whole = memory_session(dataset, target, memory, origin)
        size = None if condition["items"] == "all" else condition["items"]
        images, texts = whole.task.memory.images, whole.task.memory.texts
        cut = Memory(
            images if self.modality == "texts" else prefix(images, size, rng.child("images")),
            texts if self.modality == "images" else prefix(texts, size, rng.child("texts")),
        )
        training, check = training_and_validation(
            dataset, seen, validation, memory, origin, images=self.train_images, rng=rng
        )
        session = replace(whole, task=replace(whole.task, memory=cut))
        return Episode(sessions=(session,), training=training, validation=check)
