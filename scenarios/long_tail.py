"""Classes with many and with few labelled images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.imbalance import Law, most_shots, tail, thirds
from bench.sampling.labelled import Labelled
from bench.sampling.measures.groups import ByGroup
from bench.sampling.memory_source import check_declared, declared_or_bare, departures
from bench.utils.random import Stream


@scenario("long-tail")
@dataclass(frozen=True, kw_only=True)
class LongTail:
    """The support of the classes shrinks from the first to the last; one condition per imbalance.

    Cao et al., LDAM, NeurIPS 2019, arXiv:1906.07413; Long et al., RAC, CVPR 2022, arXiv:2202.11233. Measured is the
    accuracy of the third of the classes with many, medium and few images. Which class is how large is drawn by seed.

    Attributes
    ----------
    ratios : tuple of float
        The largest class has this many times the images of the smallest; 1 is balanced.
    law : str
        ``exponential`` falls by the same factor from class to class, ``zipf`` as a power of the rank.
    shots : int or None
        Images of the largest class; None is as many as every class has.
    """

    ratios: Annotated[tuple[Annotated[float, Ge(1)], ...], MinLen(1)] = (1.0, 4.0)
    law: Law = "exponential"
    shots: Annotated[int, Ge(1)] | None = None
    memory: Literal["none", "declared"] = "none"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield one condition per ratio."""
        check_declared(dataset, self.memory, "long-tail.memory")
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        shots = most_shots(frame, self.shots, self.ratios)
        told = {**departures(dataset, self.classes), "law": self.law, "shots": shots}
        yield from ({**told, "ratio": ratio} for ratio in self.ratios)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        support = tail(frame, condition["shots"], condition["ratio"], self.law, rng)
        session = frame.session(support, *declared_or_bare(dataset, self.memory, "long-tail.memory"))
        return Episode(sessions=(replace(session, measure=ByGroup(thirds(frame.ids, support))),))
