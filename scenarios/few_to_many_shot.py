"""From few to many shots: the same queries under more and more labelled images, or few-shot episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt

from bench.dealing import (
    Classes,
    choose_memory,
    eligible,
    guard,
    make_task,
    memory_session,
    queries_outside,
    shots,
    split_classes,
    training_session,
    without,
)
from bench.errors import BenchError
from bench.features import Features
from bench.memory import Memory
from bench.registry import scenario
from bench.streams import Stream
from bench.task import Dataset, Episode, Session


@scenario("few-to-many-shot")
@dataclass(frozen=True, kw_only=True)
class FewToManyShot:
    """k labelled images of each target class, where k shots are among k + 1; one condition a shot count.

    Kang et al., Memory-Modular Classification, TMLR 2025, sections 4.3 and A.4. With ``way``, each seed deals
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
        What to do with a class that has fewer images: ``refuse`` with its name, or ``skip`` it, in all conditions.
    way : int or None
        Classes of an episode; None takes all target classes at once.
    seen, validation : float
        Shares of the classes to train on and to choose on; the rest are targets. 0 seen trains nothing. A split that
        the data set declares counts for the shares.
    memory : str
        ``declared`` adds the data set's image memory, ``none`` leaves the support alone; ``auto`` takes the memory if
        it has images. Text items come with their classes in either case.
    """

    shots: tuple[Annotated[int, Ge(1)], ...] = (1, 2, 4, 8, 16)
    scarce: Literal["refuse", "skip"] = "refuse"
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
        for count in self.shots:
            yield {"shots": count} if self.way is None else {"way": self.way, "shots": count}

    def deal(
        self, dataset: Dataset, condition: Mapping[str, Any], *, rng: Stream, source: Dataset | None = None
    ) -> Episode:
        """Return one session of all target classes, or one a few-shot episode."""
        seen, validation, target = split_classes(
            dataset, eligible(dataset, self.classes), seen=self.seen, validation=self.validation, rng=rng
        )
        declared = self.memory == "declared" or (self.memory == "auto" and len(dataset.memory.images) > 0)
        memory = dataset.memory if declared else Memory(dataset.memory.images.take([]), dataset.memory.texts)
        queries, dropped = queries_outside(dataset, target, memory)
        every = dataset.role("support").of_classes(target)
        pool = without(every, [queries])
        target, skipped = self._able(dataset, pool, target)
        notes = {
            "memory": "declared" if declared else "none; methods retrieve from the support",
            "queries_dropped_as_memory": dropped,
            "support_dropped_as_queries": len(dataset.role("support").of_classes(target))
            - len(pool.of_classes(target)),
            "classes_skipped": [dataset.class_names[c] for c in skipped],
        }
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
        return Episode(
            sessions=tuple(sessions),
            training=training_session(dataset, seen, web, origin, images=self.train_images, rng=rng) if seen else None,
            validation=memory_session(dataset, validation, web, origin) if len(validation) > 1 else None,
            independent=self.way is not None,
        )

    def _able(self, dataset: Dataset, pool: Features, target: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the classes that can give the largest shot count, so that all conditions compare, and the others."""
        most = max(self.shots)
        have = pool.labels.bincount(minlength=len(dataset.class_names)).tolist()
        poor = tuple(c for c in target if have[c] < most)
        if poor and self.scarce == "refuse":
            raise BenchError(
                f"data set {dataset.name}: {most} shots are wanted but class {dataset.class_names[poor[0]]!r} has "
                f"{have[poor[0]]} images ({len(poor)} such classes); ask for fewer, or set "
                "few-to-many-shot.scarce=skip to run on the others"
            )
        return tuple(c for c in target if c not in set(poor)), poor

    def _groups(self, target: Sequence[int], way: int, rng: Stream) -> list[tuple[int, ...]]:
        if way > len(target):
            raise BenchError(f"few-to-many-shot.way={way} but there are {len(target)} target classes; lower it")
        orders = (rng.child("episode", n, "classes").permutation(len(target)) for n in range(self.episodes))
        return [tuple(target[i] for i in order[:way]) for order in orders]
