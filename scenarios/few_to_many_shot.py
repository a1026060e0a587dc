"""From few to many shots: the same queries under more and more labelled images, or few-shot episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, eligible
from bench.sampling.frame import Frame, departing
from bench.sampling.memory_source import declared_or_bare
from bench.sampling.sessions import assert_disjoint, draw_ways, make_task, shots, split_disjoint
from bench.sampling.shot_counts import Scarce, able, lowered
from bench.utils.random import Stream

_OWNER = "few-to-many-shot"


@scenario("few-to-many-shot")
@dataclass(frozen=True, kw_only=True)
class FewToManyShot:
    """k labelled images of each target class; one condition per k, and the k shots are among the k + 1 shots.

    Kang et al., Memory-Modular Classification, TMLR 2025, sections 4.4 and A.4. With ``way``, each seed deals
    ``episodes`` problems of ``way`` random classes and ``queries`` images of each (Vinyals et al., Matching Networks,
    NeurIPS 2016, arXiv:1606.04080), the same for every shot count.

    Where methods retrieve from the support (no image memory), a majority of k neighbours cannot be right with fewer
    than k / 2 shots unless most other votes split: with the default ``knn.k=32`` and 4 shots at least 28 of the votes
    are for wrong classes. Nothing is capped behind the user's back and nothing is chosen on queries: sweep the number
    (``--set knn.k=[1,4,16,32]``) or set it to the smallest shot count (``--set knn.k=1``).

    Attributes
    ----------
    shots : tuple of int
        Labelled images a class; one condition each.
    scarce : str
        What to do where a class has fewer images than the largest count: ``refuse`` with its name; ``skip`` the class,
        in all conditions; or ``lower`` the counts to those that every class can give.
    way : int or None
        Classes of a few-shot episode; None takes all target classes at once.
    episodes : int
        Few-shot episodes of each seed; where ``way`` is set.
    queries : int
        Queries of each class in a few-shot episode; where ``way`` is set.
    seen, validation : float
        Shares of the classes to train on and to choose on; the rest are targets. 0 seen trains nothing. A split that
        the data set declares counts for the shares.
    memory : str
        ``declared`` adds the data set's image memory, ``none`` leaves the support alone; ``auto`` takes the memory if
        it has images. Text items come with their classes in either case.
    """

    shots: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1, 2, 4, 8, 16)
    scarce: Scarce = "refuse"
    way: Annotated[int, Ge(2)] | None = None
    episodes: Annotated[int, Ge(1)] = 600
    queries: Annotated[int, Ge(1)] = 15
    seen: Annotated[float, Ge(0), Lt(1)] = 0.0
    validation: Annotated[float, Ge(0), Lt(1)] = 0.0
    train_images: Annotated[int, Ge(1)] = 16
    memory: Literal["auto", "declared", "none"] = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
        """Yield the shot counts."""
        told = departing(self, dataset) | ({} if self.way is None else {"way": self.way})
        yield from ({**told, "shots": count} for count in self._counts(dataset))

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session of all target classes, or one a few-shot episode."""
        frame = Frame.of(self, dataset, "auto", rng)
        memory, origin = declared_or_bare(dataset, self.memory, _OWNER)
        queries, pool, lost = split_disjoint(dataset, frame.target, memory)
        target, skipped = self._able(dataset, pool, frame.target)
        notes = {"memory": origin, **lost, "classes_skipped": [dataset.class_names[c] for c in skipped]}
        groups = [target] if self.way is None else draw_ways(target, self.way, self.episodes, rng, f"{_OWNER}.way")
        sessions = []
        for number, group in enumerate(groups):
            stream = rng if self.way is None else rng.child("episode", number)
            support = shots(pool.of_classes(group), condition["shots"], stream, dataset=dataset.name)
            asked = queries.of_classes(group)
            if self.way is not None:
                asked = shots(asked, self.queries, stream.child("queries"), dataset=dataset.name, scarce="use")
            assert_disjoint(dataset.name, {"support": support, "queries": asked})
            task = make_task(dataset, group, support=support, memory=memory, session=number)
            sessions.append(Session(task=task, queries=asked, notes=notes))
        return frame.episode(sessions, independent=self.way is not None)

    def _counts(self, dataset: Dataset) -> tuple[int, ...]:
        """Return the shot counts that are dealt, and refuse what is known to be too many before anything is run."""
        if self.seen and self.scarce != "lower":
            return self.shots  # which classes must give them is a matter of the seed
        ids = eligible(dataset, self.classes)
        _, pool, _ = split_disjoint(dataset, ids, declared_or_bare(dataset, self.memory, _OWNER)[0])
        if self.scarce == "lower":
            return lowered(pool, ids, self.shots, dataset=dataset.name)
        self._able(dataset, pool, ids)
        return self.shots

    def _able(self, dataset: Dataset, pool: Features, target: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        most, setting = max(self.shots), f"{_OWNER}.scarce"
        return able(pool, target, most, self.scarce, dataset=dataset.name, setting=setting)
