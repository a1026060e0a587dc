"""From few to many shots: the same queries under more and more labelled images, or few-shot episodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import eligible
from bench.sampling.few_shot import FewShot
from bench.sampling.frame import Frame, SeenSplit, departing
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import declared_or_bare
from bench.sampling.shot_counts import ShotCounts
from bench.utils.random import Stream


@scenario("few-to-many-shot")
@dataclass(frozen=True, kw_only=True)
class FewToManyShot(ShotCounts, FewShot, SeenSplit):
    """k labelled images of each target class; one condition per k, and the k shots are among the k + 1 shots.

    Kang et al., Memory-Modular Classification, TMLR 2025, sections 4.4 and A.4. The few-shot problems of
    ``way`` classes are the same for every shot count.

    Attributes
    ----------
    memory : str
        ``declared`` adds the data set's image memory, ``none`` leaves the support alone; ``auto`` takes the memory if
        it has images. Text items come with their classes in either case.
    """

    seen: Annotated[float, Ge(0), Lt(1)] = 0.0
    validation: Annotated[float, Ge(0), Lt(1)] = 0.0
    memory: Literal["auto", "declared", "none"] = "auto"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the shot counts."""
        told = departing(self, dataset) | ({} if self.way is None else {"way": self.way})
        memory, _ = declared_or_bare(dataset, self.memory, "few-to-many-shot.memory")
        labelled = Labelled.of(dataset, eligible(dataset, self.classes), memory)
        counts = self.counts(labelled, "few-to-many-shot", drawn=self.seen > 0)
        yield from ({**told, "shots": count} for count in counts)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session of all target classes, or one a few-shot episode."""
        frame = Frame.of(self, dataset, "auto", rng)
        memory = declared_or_bare(dataset, self.memory, "few-to-many-shot.memory")
        labelled = Labelled.of(dataset, frame.target, memory[0])
        able, notes = self.able(labelled, "few-to-many-shot")
        problems = self.problems(able, labelled.queries, rng, dataset=dataset.name, owner="few-to-many-shot")
        dealt = ((p, labelled.shots(condition["shots"], p.rng, classes=p.classes)) for p in problems)
        sessions = [labelled.session(support, *memory, notes, problem) for problem, support in dealt]
        return frame.episode(sessions, independent=self.way is not None)
