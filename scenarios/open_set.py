"""Queries of classes that the task does not have, among those of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import check_declared, declared_or_bare, departures
from bench.sampling.unknown_classes import Unknown, split_known
from bench.utils.random import Stream


@scenario("open-set")
@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """Some classes are unknown; their queries are asked among those of the known ones, and count in no accuracy.

    Protocol and scores: Yang et al., OpenOOD, NeurIPS 2022, arXiv:2210.07242, and its version 1.5, arXiv:2306.09301.
    Measured are AUROC by several scores, FPR at 95 % recall, AUPR, OSCR and AURC. The half of the unknown classes whose
    mean image is nearest to that of a known class is *near*, the others are *far*.

    Attributes
    ----------
    unknown : float or "declared"
        Share of the classes, drawn by seed (one at least, and two are known), or those declared unseen (`imagenet_o`).
    k : int
        Which nearest labelled image a query's distance is measured to.
    """

    unknown: Annotated[float, Gt(0), Lt(1)] | Literal["declared"] = 0.4
    shots: Annotated[int, Ge(1)] | None = 4
    k: Annotated[int, Ge(1)] = 10
    memory: Literal["none", "declared"] = "none"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: the share of unknown classes and the shots."""
        check_declared(dataset, self.memory, "open-set.memory")
        split_known(dataset, eligible(dataset, self.classes), self.unknown, Stream(0))
        yield {**departures(dataset, self.classes), "unknown": self.unknown, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session over the known classes, with the queries of the others as strangers."""
        known, others = split_known(dataset, eligible(dataset, self.classes), condition["unknown"], rng)
        frame = Labelled.of(dataset, known, dataset.memory)
        support = frame.shots(condition["shots"], rng)
        memory = declared_or_bare(dataset, self.memory, "open-set.memory")
        session = frame.session(support, *memory)
        found = Unknown.of(dataset, others, session, k=self.k)
        return Episode(sessions=(replace(session, strangers=found.queries, measure=found.measure),))
