"""The frame of scenarios that train on seen classes and ask about others: who is split, trained and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from bench.core.dataset import Dataset
from bench.core.memory import Memory
from bench.core.task import Episode, Session
from bench.sampling.class_split import Classes, check_split, eligible, split_classes
from bench.sampling.memory_source import MemoryChoice, choose_memory, departures
from bench.sampling.sessions import memory_session, training_and_validation
from bench.utils.random import Stream


class Splits(Protocol):
    """A scenario with the parameters of the frame."""

    @property
    def seen(self) -> float:
        """Share of the classes to train on; 0 trains nothing and takes all as targets."""

    @property
    def validation(self) -> float:
        """Share of the classes to choose on."""

    @property
    def train_images(self) -> int:
        """Labelled training images of a seen class, at most."""

    @property
    def classes(self) -> Classes:
        """Which classes take part."""


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
    def of(recipe: Splits, dataset: Dataset, memory: MemoryChoice, rng: Stream) -> Frame:
        """Return the frame of a seed; ``memory`` is what training takes, and the target session unless it differs."""
        ids = eligible(dataset, recipe.classes)
        parts = split_classes(dataset, ids, seen=recipe.seen, validation=recipe.validation, rng=rng)
        return Frame(dataset, ids, *parts, *choose_memory(dataset, memory), recipe.train_images, rng)

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


def departing(recipe: Splits, dataset: Dataset, memory: MemoryChoice | None = None) -> dict[str, Any]:
    """Return what begins every condition: how the tasks depart from the data set; an impossible split is refused."""
    check_split(dataset, seen=recipe.seen, validation=recipe.validation)
    return departures(dataset, recipe.classes, memory)
