"""A memory with wrong, off-topic or corrupted items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling import noise
from bench.sampling.class_split import Classes
from bench.sampling.frame import Frame, departing
from bench.sampling.memory_source import MemoryChoice
from bench.sampling.spoilt_memory import Modality, Spoiler
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
    modality: Modality = "both"
    strength: Annotated[float, Gt(0)] = 1.0
    evidence: Annotated[int, Ge(0)] = 0
    seen: Annotated[float, Ge(0), Lt(1)] = 0.6
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    memory: MemoryChoice = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield every place with every rate."""
        told = departing(self, dataset, self.memory)
        for rate in self.rates:
            noise.check_rate(rate)
        for where in self.where:
            yield from ({**told, "noise": self.kind, "where": where, "rate": rate} for rate in self.rates)

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session on the target classes with a noisy memory; the notes hold what was spoilt."""
        frame = Frame.of(self, dataset, self.memory, rng)
        clean = frame.session.task.memory
        others = frame.memory.restrict(sorted(set(range(len(dataset.class_names))) - set(frame.ids)))
        spoiler = Spoiler(self.kind, self.modality, self.strength)
        noisy, notes = spoiler.spoil(dataset, clean, others, frame.target, condition["rate"], rng)
        task = replace(
            frame.session.task,
            memory=clean if condition["where"] == "prototypes" else noisy,
            prototype_memory={"both": None, "prototypes": noisy, "retrieval": clean}[condition["where"]],
        )
        notes = {**frame.session.notes, **notes}
        return frame.episode([replace(frame.session, task=task, notes=notes, evidence=self.evidence)])
