"""Another memory of the same classes at test time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import eligible
from bench.sampling.frame import Frame, SeenSplit, departing
from bench.sampling.memory_source import MemoryChoice, choose_memory, halves, simulated
from bench.sampling.sessions import with_memory
from bench.utils.random import Stream


@scenario("memory-swap")
@dataclass(frozen=True, kw_only=True)
class MemorySwap(SeenSplit):
    """Train with the memory of one source and test with that of another; one condition per pair.

    Kang et al., Memory-Modular Classification, TMLR 2025, table 6. The items of the two largest sources are used;
    where there is one source only, the items of each class are dealt to two simulated ones, and the notes say so.
    The queries are the same in all conditions.

    Attributes
    ----------
    pairs : tuple of str
        Source trained with and source answered with, ``A`` and ``B`` in the order of their sizes.
    modality : str
        Which items are exchanged; those of the other modality stay.
    """

    pairs: Annotated[tuple[Literal["AA", "AB", "BA", "BB"], ...], MinLen(1)] = ("AA", "AB", "BA", "BB")
    modality: Literal["both", "images", "texts"] = "images"
    memory: MemoryChoice = "auto"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the pairs of sources; where they are simulated, that is said."""
        memory = choose_memory(dataset, self.memory)[0].restrict(eligible(dataset, self.classes))
        told = departing(self, dataset, self.memory) | simulated(dataset, memory, self.modality)
        yield from ({**told, "trained": trained, "tested": tested} for trained, tested in self.pairs)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return training with one source and one session with the other."""
        frame = Frame.of(self, dataset, self.memory, rng)
        half, sources = halves(dataset, frame.memory.restrict(frame.ids), self.modality)

        def plug(session: Session, letter: str) -> Session:
            return with_memory(session, half[letter].restrict(session.task.classes), sources=sources)

        tested = plug(frame.session, condition["tested"])
        return frame.episode([tested], trained_with=lambda session: plug(session, condition["trained"]))
