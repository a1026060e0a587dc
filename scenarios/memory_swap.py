"""Another memory of the same classes at test time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, eligible
from bench.sampling.frame import Frame, departing
from bench.sampling.memory_source import MemoryChoice, choose_memory, halves
from bench.utils.random import Stream


@scenario("memory-swap")
@dataclass(frozen=True, kw_only=True)
class MemorySwap:
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
    seen, validation, train_images
        As in web-zero-shot; 0 seen trains nothing and takes all classes as targets.
    """

    pairs: Annotated[tuple[Literal["AA", "AB", "BA", "BB"], ...], MinLen(1)] = ("AA", "AB", "BA", "BB")
    modality: Literal["both", "images", "texts"] = "images"
    seen: Annotated[float, Ge(0), Lt(1)] = 0.6
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the pairs of sources; where they are simulated, that is said."""
        told = departing(self, dataset, self.memory)
        memory = choose_memory(dataset, self.memory)[0].restrict(eligible(dataset, self.classes))
        simulated = [name for name, known in halves(dataset, memory, self.modality)[1].items() if known["simulated"]]
        if simulated:
            told["sources"] = f"simulated for {' and '.join(simulated)}"
        yield from ({**told, "trained": trained, "tested": tested} for trained, tested in self.pairs)

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return training with one source and one session with the other."""
        frame = Frame.of(self, dataset, self.memory, rng)
        half, sources = halves(dataset, frame.memory.restrict(frame.ids), self.modality)

        def plug(session: Session, letter: str) -> Session:
            # The session was dealt clear of the whole memory, so its images are the same whichever source it gets.
            task = replace(session.task, memory=half[letter].restrict(session.task.classes))
            return replace(session, task=task, notes={**session.notes, "sources": sources})

        tested = plug(frame.session, condition["tested"])
        return frame.episode([tested], trained_with=lambda session: plug(session, condition["trained"]))
