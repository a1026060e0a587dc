"""Web-assisted zero-shot classification: no labelled image of a target class, a memory found by class name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.frame import Frame, SeenSplit, departing, transfer
from bench.sampling.memory_source import MemoryChoice
from bench.sampling.near_queries import without_near_queries
from bench.utils.random import Stream


@scenario("web-zero-shot")
@dataclass(frozen=True, kw_only=True)
class WebZeroShot(SeenSplit):
    """Train on seen classes, choose on validation classes, and classify unseen classes with the memory alone.

    Kang et al., Memory-Modular Classification, TMLR 2025, section 4.2. Within one data set the classes are split;
    with ``train_on`` a method is trained on another data set and answers for all classes of this one.

    Attributes
    ----------
    train_on : str or None
        Name or path of the data set to train on, for cross-dataset transfer.
    evidence : int
        On how many queries of the unseen classes to look at what methods that can say it answer from: the share of
        neighbours of the right class, similarity to right and wrong prototypes; 0 for none.
    duplicates : float or None
        Memory images of the target classes with at least this cosine to a query are left out; None keeps them all.
    """

    train_on: str | None = None
    memory: MemoryChoice = "auto"
    duplicates: Annotated[float, Gt(0), Le(1)] | None = None
    evidence: Annotated[int, Ge(0)] = 0

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: within this data set or across from another."""
        told = departing(self, dataset, self.memory)
        yield {"transfer": "single" if self.train_on is None else f"from {self.train_on}", **told}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return training on seen classes, validation on others, and one session on the unseen."""
        if source is None:
            frame = Frame.of(self, dataset, self.memory, rng)
            episode = frame.episode([frame.session])
        else:
            episode = transfer(self, dataset, source, self.memory, rng)
        session = without_near_queries(episode.sessions[0], self.duplicates)
        return replace(episode, sessions=(replace(session, evidence=self.evidence),))
