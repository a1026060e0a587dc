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
from bench.sampling.class_split import Classes
from bench.sampling.frame import Frame, departing
from bench.sampling.memory_source import MemoryChoice
from bench.sampling.sessions import nested_subset
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
        told = departing(self, dataset, self.memory)
        yield from ({**told, "items": "all" if size is None else size} for size in self.sizes)

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session on the target classes with a cut memory."""
        frame = Frame.of(self, dataset, self.memory, rng)
        size = None if condition["items"] == "all" else condition["items"]
        memory = frame.session.task.memory
        cut = Memory(
            memory.images if self.modality == "texts" else nested_subset(memory.images, size, rng.child("images")),
            memory.texts if self.modality == "images" else nested_subset(memory.texts, size, rng.child("texts")),
        )
        return frame.episode([replace(frame.session, task=replace(frame.session.task, memory=cut))])
