"""Accuracy against the size of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.frame import Frame, SeenSplit, departing
from bench.sampling.memory_source import MemoryChoice
from bench.sampling.sessions import nested_subset, with_memory
from bench.utils.random import Stream


@scenario("memory-size")
@dataclass(frozen=True, kw_only=True)
class MemorySize(SeenSplit):
    """The memory of the target classes is cut to k items per class and modality; one condition per k.

    Kang et al., Memory-Modular Classification, TMLR 2025, figure 3 and table 12. Training on seen classes uses their
    whole memory. The queries are the same for all sizes.

    Attributes
    ----------
    sizes : tuple of int or None
        Items a class, one condition each; a class that has fewer gives what it has; None is all.
    modality : str
        Which items are cut.
    """

    sizes: Annotated[tuple[Annotated[int, Ge(1)] | None, ...], MinLen(1)] = (1, 2, 4, 8, 16, None)
    modality: Literal["both", "images", "texts"] = "both"
    memory: MemoryChoice = "auto"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the sizes."""
        told = departing(self, dataset, self.memory)
        yield from ({**told, "items": "all" if size is None else size} for size in self.sizes)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session on the target classes with a cut memory."""
        frame = Frame.of(self, dataset, self.memory, rng)
        size = None if condition["items"] == "all" else condition["items"]
        images, texts = frame.session.task.memory.images, frame.session.task.memory.texts
        cut = Memory(
            images if self.modality == "texts" else nested_subset(images, size, rng.child("images")),
            texts if self.modality == "images" else nested_subset(texts, size, rng.child("texts")),
        )
        return frame.episode([with_memory(frame.session, cut)])
