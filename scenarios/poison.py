"""An adversary who adds, relabels or deletes items of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.attacks import Action, Chosen, attacked, certificate
from bench.sampling.class_split import Classes, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import declared_or_bare, departures
from bench.utils.random import Stream


@scenario("poison")
@dataclass(frozen=True, kw_only=True)
class Poison:
    """m labelled images are changed before a method learns from them; one condition per m, and more include fewer.

    Measured beside it is certified accuracy: the share of queries that a plain vote of the k nearest images answers
    rightly whatever m images are changed so (exact). Feature collision: Shafahi et al., NeurIPS 2018, arXiv:1804.00792.

    Attributes
    ----------
    counts, action : tuple of int, str
        m, and what is done to so many images: ``add`` copies under a wrong class, ``relabel`` or ``delete``.
    chosen : str
        ``random``; ``hubness``: most often among the ten nearest of others; ``collision``: nearest to the mean of
        another class. What is added are copies, moved half of the way there for a collision.
    k : int or None
        Neighbours of the vote that is certified; None is twice the images of the median class less one.
    """

    counts: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)] = (0, 4)
    action: Action = "relabel"
    chosen: Chosen = "hubness"
    shots: Annotated[int, Ge(1)] | None = 4
    k: Annotated[int, Ge(1)] | None = None
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield one condition per number of changed images."""
        told = {**departures(dataset, self.classes), "action": self.action, "chosen": self.chosen, "shots": self.shots}
        yield from ({**told, "changed": count} for count in self.counts)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session; the notes name the changed images."""
        frame, m = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory), condition["changed"]
        clean = frame.shots(condition["shots"], rng)
        support, notes = attacked(clean, frame.ids, m, self.action, self.chosen, rng.child("poison"))
        session = frame.session(support, *declared_or_bare(dataset, "none", "poison.memory"), notes)
        return Episode(sessions=(replace(session, measure=certificate(clean, session, m, self.k, self.action)),))
