"""Training labels that are wrong, under clean queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.labelled import Labelled
from bench.sampling.memory_source import check_declared, departures
from bench.sampling.noise import check_rates
from bench.sampling.spoilt_labels import LabelSpoiler
from bench.sampling.support_memory import HELD_OUT, with_held_out
from bench.utils.random import Stream


@scenario("label-noise")
@dataclass(frozen=True, kw_only=True)
class LabelNoise(LabelSpoiler):
    """A share of the support's labels is wrong; one condition per rate, and higher rates include lower ones.

    Kang et al., Memory-Modular Classification, TMLR 2025, section 4.4: the memory's own labels are left alone.

    Attributes
    ----------
    rates : tuple of float
        Shares of the support's labels to change.
    memory : str
        ``declared`` by the data set; ``held-out`` takes every second support image of a class for a clean memory;
        ``none`` lets methods retrieve from the noisy support; ``auto`` is the first if it has images, else the last.
    """

    rates: Annotated[tuple[float, ...], MinLen(1)] = (0.0, 0.1, 0.2, 0.3, 0.4)
    shots: Annotated[int, Ge(1)] | None = None
    memory: Literal["auto", "declared", "held-out", "none"] = "auto"
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the rates."""
        check_rates(self.rates)
        check_declared(dataset, self.memory, "label-noise.memory")
        self.check(dataset, eligible(dataset, self.classes))
        told = departures(dataset, self.classes) | ({"memory": HELD_OUT} if self.memory == "held-out" else {})
        yield from ({**told, "noise": self.kind, "rate": rate} for rate in self.rates)

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session whose support has wrong labels; the notes hold each with the label it had."""
        frame = Labelled.of(dataset, eligible(dataset, self.classes), dataset.memory)
        pool, memory, origin = with_held_out(dataset, self.memory, frame.pool, rng)
        clean = frame.shots(self.shots, rng, of=pool)
        noisy, notes = self.spoil(dataset, frame.ids, clean, condition["rate"], rng.child("noise"))
        return Episode(sessions=(frame.session(noisy, memory, origin, notes),))
