"""The frame of scenarios that train on seen classes and ask about others: who is split, trained and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from annotated_types import Ge, Lt

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import exclude, memory_session, training_and_validation, training_session
from bench.utils.random import Stream


@dataclass(frozen=True, kw_only=True)
class SeenSplit:
    """The parameters of a scenario that trains on some classes and asks about others; a base of recipes.

    Attributes
    ----------
    seen, validation : float
        Shares of the classes to train on and to choose on, unless the data set declares a class split; the rest are
        targets. 0 seen trains nothing and takes all classes as targets.
    train_images : int
        Labelled training images of a seen class, at most; what there is is used.
    """

    seen: Annotated[float, Ge(0), Lt(1)] = 0.6
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2
    train_images: Annotated[int, Ge(1)] = 16
    classes: Classes = "all"


@dataclass(frozen=True, eq=False)
class Frame:
    """One seed's split of the classes with the memory they are answered from.

    Attributes
    ----------
    ids : tuple of int
        All classes that take part.
    seen, validation, target : tuple of int
        Those to train on, to choose on and to ask about.
    origin : str
        Where the images of the memory are from, for the notes.
    """

    dataset: Dataset
    ids: tuple[int, ...]
    seen: tuple[int, ...]
    validation: tuple[int, ...]
    target: tuple[int, ...]
    memory: Memory
    origin: str
    train_images: int
    rng: Stream

    @staticmethod
    def of(recipe: SeenSplit, dataset: Dataset, memory: MemoryChoice, rng: Stream) -> Frame:
        """Return the frame of a seed; ``memory`` is what training takes, and the target session unless it differs."""
        ids = eligible(dataset, recipe.classes)
        parts = split_classes(dataset, ids, seen=recipe.seen, validation=recipe.validation, rng=rng)
        return Frame(dataset, ids, *parts, *choose_memory(dataset, memory), recipe.train_images, rng)

    @property
    def others(self) -> Memory:
        """The items of classes that take no part."""
        return self.memory.restrict(sorted(set(range(len(self.dataset.class_names))) - set(self.ids)))

    @cached_property
    def session(self) -> Session:
        """The target classes, to be answered for by memory alone."""
        return memory_session(self.dataset, self.target, self.memory, self.origin)

    def episode(
        self,
        sessions: Sequence[Session],
        *,
        trained_with: Callable[[Session], Session] = lambda session: session,
        independent: bool = False,
    ) -> Episode:
        """Return the sessions with what to train and to choose on.

        Parameters
        ----------
        trained_with : callable
            What becomes of the training and the validation session, for a scenario that varies their memory.
        """
        training, check = training_and_validation(
            self.dataset,
            self.seen,
            self.validation,
            self.memory,
            self.origin,
            images=self.train_images,
            rng=self.rng,
        )
        return Episode(
            sessions=tuple(sessions),
            training=training and trained_with(training),
            validation=check and trained_with(check),
            independent=independent,
        )


def departing(recipe: SeenSplit, dataset: Dataset, memory: MemoryChoice | None = None) -> dict[str, Any]:
    """Return what begins every condition: how the tasks depart from the data set; an impossible split is refused."""
    check_split(dataset, seen=recipe.seen, validation=recipe.validation)
    return departures(dataset, recipe.classes, memory)


def transfer(recipe: SeenSplit, dataset: Dataset, source: Dataset, memory: MemoryChoice, rng: Stream) -> Episode:
    """Return all classes of one data set, to be answered for by memory alone, with training on all of another.

    Other images of the classes that were trained on are validated on, since with another data set all are seen.
    """
    tested = memory_session(dataset, eligible(dataset, recipe.classes), *choose_memory(dataset, memory))
    classes, chosen = eligible(source, "all"), choose_memory(source, memory)
    training = training_session(
        source, classes, *chosen, images=recipe.train_images, rng=rng, apart_from=[tested.queries]
    )
    check = memory_session(source, classes, *chosen)
    check = replace(check, queries=exclude(check.queries, [training.queries, tested.queries]))
    return Episode(sessions=(tested,), training=training, validation=check)
