"""Another memory of the same classes at test time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures, two_sources
from bench.sampling.sessions import memory_session, training_and_validation
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
        check_split(dataset, seen=self.seen, validation=self.validation)
        told = departures(dataset, self.classes, self.memory)
        memory, _ = choose_memory(dataset, self.memory)
        _, sources = self._halves(dataset, memory.restrict(eligible(dataset, self.classes)))
        simulated = [modality for modality, source in sources.items() if source["simulated"]]
        if simulated:
            told["sources"] = f"simulated for {' and '.join(simulated)}"
        for trained, tested in self.pairs:
            yield {**told, "trained": trained, "tested": tested}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return training with one source and one session with the other."""
        ids = eligible(dataset, self.classes)
        seen, validation, target = split_classes(dataset, ids, seen=self.seen, validation=self.validation, rng=rng)
        memory, origin = choose_memory(dataset, self.memory)
        halves, sources = self._halves(dataset, memory.restrict(ids))

        def plug(session: Session, source: str) -> Session:
            # The session was dealt clear of the whole memory, so its images are the same whichever source it gets.
            own = halves[source].restrict(session.task.classes)
            notes = {**session.notes, "sources": sources}
            return replace(session, task=replace(session.task, memory=own), notes=notes)

        training, check = training_and_validation(
            dataset, seen, validation, memory, origin, images=self.train_images, rng=rng
        )
        trained, tested = condition["trained"], condition["tested"]
        return Episode(
            sessions=(plug(memory_session(dataset, target, memory, origin), tested),),
            training=training and plug(training, trained),
            validation=check and plug(check, trained),
        )

    def _halves(self, dataset: Dataset, memory: Memory) -> tuple[dict[str, Memory], dict[str, Any]]:
        """Return the memory of each source by its letter, and what the sources are, for the notes."""
        a, b, sources = memory, memory, {}
        for name in ("images", "texts"):
            if self.modality not in ("both", name):
                continue
            first, second, names, simulated = two_sources(getattr(memory, name), dataset)
            a, b = a.replace(**{name: first}), b.replace(**{name: second})
            sources[name] = {"A": names[0], "B": names[1], "simulated": simulated}
        return {"A": a, "B": b}, sources
