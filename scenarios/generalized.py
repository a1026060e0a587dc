"""Seen and unseen classes that compete for every query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible, split_classes
from bench.sampling.labelled import Labelled
from bench.sampling.measures.groups import Generalised
from bench.sampling.memory_source import declared_or_bare, departures
from bench.utils.random import Stream


@scenario("generalized")
@dataclass(frozen=True, kw_only=True)
class Generalized:
    """Seen classes have labelled images, unseen ones only their texts and the memory; every query may be of either.

    Xian et al., Zero-Shot Learning: A Comprehensive Evaluation, TPAMI 2018, arXiv:1707.00600; base-to-new: Zhou et al.,
    CoCoOp, CVPR 2022, arXiv:2203.05557. Measured are S, U, their harmonic mean H and AUSUC.

    Attributes
    ----------
    seen : float
        Share of the classes with labelled images, unless the data set declares a class split.
    """

    seen: Annotated[float, Gt(0), Lt(1)] = 0.5
    shots: Annotated[int, Ge(1)] | None = 4
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: the share of seen classes and the shots."""
        split_classes(dataset, eligible(dataset, self.classes), seen=self.seen, validation=0.0, rng=Stream(0))
        yield {**departures(dataset, self.classes), "seen": self.seen, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session over all classes."""
        ids = eligible(dataset, self.classes)
        seen, _, _ = split_classes(dataset, ids, seen=condition["seen"], validation=0.0, rng=rng)
        frame = Labelled.of(dataset, ids, dataset.memory)
        support = frame.shots(condition["shots"], rng, classes=seen)
        session = frame.session(support, *declared_or_bare(dataset, "auto", "generalized.memory"))
        return Episode(sessions=(replace(session, measure=Generalised(np.isin(ids, seen))),))
