"""A memory with wrong, off-topic or corrupted items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.frame import Frame, SeenSplit, departing
from bench.sampling.memory_source import MemoryChoice
from bench.sampling.noise import check_rates
from bench.sampling.spoilt_memory import Spoiler, Where
from bench.utils.random import Stream


@scenario("memory-noise")
@dataclass(frozen=True, kw_only=True)
class MemoryNoise(Spoiler, SeenSplit):
    """A share of the target classes' memory is wrong; one condition per place and rate.

    Kang et al., Memory-Modular Classification, TMLR 2025, appendix, table 20. A method is trained on seen classes
    with their clean memory and answers for the others with a noisy one; each rate's changes are among the next's.
    A method that makes prototypes and retrieves meets the two memories apart; one that does either meets noise only
    where its items come from.

    Attributes
    ----------
    rates : tuple of float
        Shares of the items of each modality to spoil.
    where : tuple of str
        The noisy memory: the one ``prototypes`` are made of, the one for ``retrieval``, or ``both`` as one.
    evidence : int
        On how many queries to look at what answers rest on, as in web-zero-shot; 0 for none.
    """

    rates: Annotated[tuple[float, ...], MinLen(1)] = (0.0, 0.05, 0.1, 0.2, 0.4)
    where: Annotated[tuple[Where, ...], MinLen(1)] = ("both",)
    evidence: Annotated[int, Ge(0)] = 0
    memory: MemoryChoice = "auto"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield every place with every rate."""
        told = departing(self, dataset, self.memory)
        check_rates(self.rates)
        for where in self.where:
            yield from ({**told, "noise": self.kind, "where": where, "rate": rate} for rate in self.rates)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session on the target classes with a noisy memory; the notes hold what was spoilt."""
        frame = Frame.of(self, dataset, self.memory, rng)
        session = self.spoil(frame, condition["rate"], condition["where"])
        return frame.episode([replace(session, evidence=self.evidence)])
