"""Support of one data set, queries of another with the same classes; or queries that are moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bench.core.dataset import Dataset
from bench.core.protocols import Condition
from bench.core.registry import scenario
from bench.core.task import Episode
from bench.sampling.class_split import Classes, eligible
from bench.sampling.memory_source import departures
from bench.sampling.shifts import Distortion, named_shift, shifted, shifted_to
from bench.utils.random import Stream


@scenario("shift")
@dataclass(frozen=True, kw_only=True)
class Shift:
    """Learn from one distribution and be asked about another.

    Taori et al., Measuring Robustness to Natural Distribution Shifts, NeurIPS 2020, arXiv:2007.00644. Measured are
    accuracy without the shift, its loss, and in reports effective robustness: accuracy above what that of others tells.

    Attributes
    ----------
    train_on : str or None
        Data set that support, memory and unshifted queries are of (ImageNet, say), where the queries are of another one
        (ImageNet-V2, -A, -R, -Sketch, ObjectNet). Classes are matched by name. None changes the data set's own queries.
    distort : str or None
        How images of queries are distorted before they are encoded again: ``noise``, ``blur``, ``contrast``,
        ``pixelate``, ``jpeg``, ``rotate`` or ``occlude``; needs the images and their encoder.
    severity : float
        How strongly images are distorted, 1 mild to 5. Where they are not, how far queries are moved, in lengths of a
        query: half of it in one direction that the seed draws for all, half in one of each query's own.
    """

    train_on: str | None = None
    distort: Distortion | None = None
    severity: Annotated[float, Ge(0)] = 1.0
    shots: Annotated[int, Ge(1)] | None = 4
    classes: Classes = "all"

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the one condition: where the shift is from, and the shots."""
        eligible(dataset, self.classes)
        shift = named_shift(self.train_on, self.distort, self.severity)
        yield {**departures(dataset, self.classes), **shift, "shots": self.shots}

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return one session whose queries are shifted, with unshifted ones beside them."""
        ids, shots = eligible(dataset, self.classes), condition["shots"]
        if source is not None:
            return Episode(sessions=(shifted_to(dataset, source, ids, shots, rng),))
        return Episode(sessions=(shifted(dataset, ids, shots, self.distort, self.severity, rng),))
