"""From few to many shots: the same queries under more and more labelled images, or few-shot episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import scenario
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import choose_memory, declared_memory, departures
from bench.sampling.sessions import apart, guard, make_task, shots, training_and_validation
from bench.utils.errors import BenchError
from bench.utils.random import Stream


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
    scarce: Literal["refuse", "skip", "lower"] = "refuse"
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
        check_split(dataset, seen=self.seen, validation=self.validation)
        told = departures(dataset, self.classes)
        for count in self._counts(dataset):
            yield {**told, "shots": count} if self.way is None else {**told, "way": self.way, "shots": count}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session of all target classes, or one a few-shot episode."""
        seen, validation, target = split_classes(
            dataset, eligible(dataset, self.classes), seen=self.seen, validation=self.validation, rng=rng
        )
        memory, origin = self._memory(dataset)
        queries, pool, lost = apart(dataset, target, memory)
        target, skipped = self._able(dataset, pool, target)
        notes = {"memory": origin, **lost, "classes_skipped": [dataset.class_names[c] for c in skipped]}
        groups = [target] if self.way is None else self._groups(target, self.way, rng)
        sessions = []
        for number, group in enumerate(groups):
            stream = rng if self.way is None else rng.child("episode", number)
            support = shots(pool.of_classes(group), condition["shots"], stream, dataset=dataset.name)
            asked = queries.of_classes(group)
            if self.way is not None:
                asked = shots(asked, self.queries, stream.child("queries"), dataset=dataset.name, scarce="use")
            guard(dataset.name, {"support": support, "queries": asked})
            task = make_task(dataset, group, support=support, memory=memory, session=number)
            sessions.append(Session(task=task, queries=asked, notes=notes))
        web, origin = choose_memory(dataset, "auto")
        training, check = training_and_validation(
            dataset, seen, validation, web, origin, images=self.train_images, rng=rng
        )
        return Episode(sessions=tuple(sessions), training=training, validation=check, independent=self.way is not None)

    def _memory(self, dataset: Dataset) -> tuple[Memory, str]:
        if self.memory == "declared" or (self.memory == "auto" and len(dataset.memory.images)):
            return declared_memory(dataset, "few-to-many-shot.memory"), "declared"
        bare = Memory(dataset.memory.images.take([]), dataset.memory.texts)
        return bare, "none; methods retrieve from the support"

    def _counts(self, dataset: Dataset) -> tuple[int, ...]:
        """Return the shot counts that are dealt, and refuse what is known to be too many before anything is run."""
        if self.seen and self.scarce != "lower":
            return self.shots  # which classes must give them is a matter of the seed
        ids = eligible(dataset, self.classes)
        _, pool, _ = apart(dataset, ids, self._memory(dataset)[0])
        if self.scarce != "lower":
            self._able(dataset, pool, ids)
            return self.shots
        least = min(_images(pool, ids).values())
        counts = tuple(count for count in self.shots if count <= least)
        if not counts:
            raise self._too_few(dataset, pool, ids, min(self.shots), "ask for fewer")
        return counts

    def _able(self, dataset: Dataset, pool: Features, target: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the classes that can give the largest shot count, so that all conditions compare, and the others."""
        if self.scarce == "lower":
            return tuple(target), ()
        most = max(self.shots)
        able = tuple(c for c, images in _images(pool, target).items() if images >= most)
        if len(able) < len(target) and self.scarce == "refuse":
            ways = "ask for fewer, or set few-to-many-shot.scarce=skip (or lower) to run on the others"
            raise self._too_few(dataset, pool, target, most, ways)
        if len(able) < 2:
            raise self._too_few(dataset, pool, target, most, f"{len(able)} can give them; ask for fewer")
        return able, tuple(c for c in target if c not in set(able))

    def _too_few(self, dataset: Dataset, pool: Features, classes: Sequence[int], count: int, advice: str) -> BenchError:
        poor = {c: images for c, images in _images(pool, classes).items() if images < count}
        first = next(iter(poor))
        return BenchError(
            f"data set {dataset.name}: {count} shots are wanted but class {dataset.class_names[first]!r} has "
            f"{poor[first]} images ({len(poor)} such classes); {advice}"
        )

    def _groups(self, target: Sequence[int], way: int, rng: Stream) -> list[tuple[int, ...]]:
        if way > len(target):
            raise BenchError(f"few-to-many-shot.way={way} but there are {len(target)} target classes; lower it")
        orders = (rng.child("episode", n, "classes").permutation(len(target)) for n in range(self.episodes))
        return [tuple(target[i] for i in order[:way]) for order in orders]


def _images(pool: Features, classes: Sequence[int]) -> dict[int, int]:
    """Return how many images each of the classes has, in their order."""
    have = pool.labels.bincount(minlength=len(pool.class_names)).tolist()
    return {c: have[c] for c in classes}
