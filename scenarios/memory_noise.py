"""A memory with wrong, off-topic or corrupted items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling import noise
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import memory_session, training_and_validation
from bench.utils.random import Stream

Where = Literal["both", "prototypes", "retrieval"]
"""Which memory is noisy: the one prototypes are made of, the one a method retrieves from, or both as one."""


@scenario("memory-noise")
@dataclass(frozen=True, kw_only=True)
class MemoryNoise:
    """A share of the target classes' memory is wrong; one condition per place and rate.

    Kang et al., Memory-Modular Classification, TMLR 2025, appendix, table 20. A method is trained on seen classes
    with their clean memory and answers for the others with a noisy one; each rate's changes are among the next's.
    A method that makes prototypes and retrieves meets the two memories apart; one that does either meets noise only
    where its items come from.

    Attributes
    ----------
    rates : tuple of float
        Shares of the items of each modality to spoil.
    kind : str
        ``wrong-class`` lays an item under another class's name; ``off-topic`` exchanges it for one of its modality and
        of a class that takes no part, or, if there is none, for a random point with the mean and covariance of the
        modality's items; ``corrupted`` shakes its vector by ``strength`` times its length.
    where : tuple of str
        ``prototypes``, ``retrieval`` or ``both``.
    modality : str
        Which items are spoilt.
    strength : float
        For ``corrupted``, the length of the change as a multiple of the vector's length.
    evidence : int
        On how many queries to look at what answers rest on, as in web-zero-shot; 0 for none.
    seen, validation, train_images
        As in web-zero-shot; 0 seen trains nothing and takes all classes as targets.
    """

    rates: Annotated[tuple[float, ...], MinLen(1)] = (0.0, 0.05, 0.1, 0.2, 0.4)
    kind: noise.MemoryNoise = "wrong-class"
    where: Annotated[tuple[Where, ...], MinLen(1)] = ("both",)
    modality: Literal["both", "images", "texts"] = "both"
    strength: Annotated[float, Gt(0)] = 1.0
    evidence: Annotated[int, Ge(0)] = 0
    seen: Annotated[float, Ge(0), Lt(1)] = 0.6
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield every place with every rate."""
        check_split(dataset, seen=self.seen, validation=self.validation)
        for rate in self.rates:
            noise.check_rate(rate)
        told = departures(dataset, self.classes, self.memory)
        for where in self.where:
            for rate in self.rates:
                yield {**told, "noise": self.kind, "where": where, "rate": rate}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session on the target classes with a noisy memory; the notes hold what was spoilt."""
        ids = eligible(dataset, self.classes)
        seen, validation, target = split_classes(dataset, ids, seen=self.seen, validation=self.validation, rng=rng)
        memory, origin = choose_memory(dataset, self.memory)
        clean = memory_session(dataset, target, memory, origin)
        others = memory.restrict(sorted(set(range(len(dataset.class_names))) - set(ids)))
        noisy, changed = self._spoilt(dataset, clean.task.memory, others, target, condition["rate"], rng)
        where = condition["where"]
        task = replace(
            clean.task,
            memory=clean.task.memory if where == "prototypes" else noisy,
            prototype_memory={"both": None, "prototypes": noisy, "retrieval": clean.task.memory}[where],
        )
        notes = {**clean.notes, "items_changed": len(changed), "changed": changed}
        if self.kind == "off-topic":
            notes["off_topic_from"] = {
                name: "other classes" if len(items) else "a Gaussian fitted to the memory"
                for name, items in self._parts(others).items()
                if len(getattr(clean.task.memory, name))
            }
        training, check = training_and_validation(
            dataset, seen, validation, memory, origin, images=self.train_images, rng=rng
        )
        session = replace(clean, task=task, notes=notes, evidence=self.evidence)
        return Episode(sessions=(session,), training=training, validation=check)

    def _spoilt(
        self, dataset: Dataset, memory: Memory, others: Memory, target: Sequence[int], rate: float, rng: Stream
    ) -> tuple[Memory, list[Any]]:
        """Return the noisy memory, and of each changed item its id, or its id and both class names."""
        changed: list[Any] = []
        made = {}
        for name, items in self._parts(memory).items():
            if not len(items):
                continue
            stream = rng.child("noise", name)
            if self.kind == "wrong-class":
                spoilt = noise.wrong_class(items, target, rate, rng=stream)
            elif self.kind == "off-topic":
                pool = self._parts(others)[name].x
                spoilt = noise.off_topic(items, rate, rng=stream, pool=pool if len(pool) else None)
            else:
                spoilt = noise.corrupted(items, rate, rng=stream, strength=self.strength)
            made[name] = spoilt.items
            changed += _listed(items, spoilt, dataset.class_names)
        return memory.replace(**made), changed

    def _parts(self, memory: Memory) -> dict[str, Items]:
        """Return the items of the modalities that are spoilt, by name."""
        parts = {"images": memory.images, "texts": memory.texts}
        return parts if self.modality == "both" else {self.modality: parts[self.modality]}


def _listed(items: Items, spoilt: noise.Spoilt, names: Sequence[str]) -> list[Any]:
    rows = spoilt.rows
    old, new = items.labels[rows].tolist(), spoilt.items.labels[rows].tolist()
    return [
        str(name) if a == b else [str(name), names[a], names[b]]
        for name, a, b in zip(items.ids[rows.numpy()], old, new, strict=True)
    ]
