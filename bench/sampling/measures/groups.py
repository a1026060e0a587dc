"""Accuracy by groups of classes: seen and unseen, many and few images; and over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.measure import Answered, Measured
from bench.functional.generalised import curve_area, gaps, harmonic, mean_of_classes
from bench.sampling.measures.intervals import Rows, resampled
from bench.utils.random import Stream

_PARTS = 5


@dataclass(frozen=True, eq=False)
class Generalised:
    """S and U, the accuracies of seen and unseen classes that compete, their harmonic mean H, and AUSUC.

    Xian et al., Zero-Shot Learning: A Comprehensive Evaluation, TPAMI 2018, arXiv:1707.00600: S and U are means over
    classes.

    Attributes
    ----------
    seen : bool array [c]
        Which columns are.
    """

    seen: NDArray[np.bool_]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the measures with their intervals."""
        right, targets = answered.right.numpy(), answered.targets.numpy()
        scores = torch.nan_to_num(answered.scores[: len(targets)].double(), neginf=-1e30).numpy()
        gap, hit = gaps(scores, targets, self.seen)

        def measure(queries: Rows, _: Rows) -> dict[str, float]:
            hits, wanted = right[queries], targets[queries]
            own = self.seen[wanted]
            s, u = mean_of_classes(hits[own], wanted[own]), mean_of_classes(hits[~own], wanted[~own])
            area = curve_area(gap[queries], hit[queries], wanted, own)
            return {"seen": s, "unseen": u, "harmonic": harmonic(s, u), "ausuc": area}

        return resampled(measure, len(targets), 0, rng)


@dataclass(frozen=True, eq=False)
class ByGroup:
    """Accuracy of each group of classes.

    Attributes
    ----------
    groups : mapping of str to bool array [c]
    """

    groups: Mapping[str, NDArray[np.bool_]]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the accuracy of each group with its interval."""
        right, targets = answered.right.numpy(), answered.targets.numpy()

        def measure(queries: Rows, _: Rows) -> dict[str, float]:
            hits, wanted = right[queries], targets[queries]
            parts = {name: hits[members[wanted]] for name, members in self.groups.items()}
            return {name: float(part.mean()) if len(part) else float("nan") for name, part in parts.items()}

        return resampled(measure, len(targets), 0, rng)


@dataclass(frozen=True, eq=False)
class OverTime:
    """Accuracy in each fifth of a stream, in the order in which its queries were met, and what it gains."""

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the accuracies with their intervals."""
        right, targets = answered.right.numpy(), answered.targets.numpy()
        places = answered.met.numpy()[: len(targets)].argsort().argsort()
        part = places * _PARTS // max(1, len(targets))

        def measure(queries: Rows, _: Rows) -> dict[str, float]:
            hits = [right[queries][part[queries] == p] for p in range(_PARTS)]
            means = [float(one.mean()) if len(one) else float("nan") for one in hits]
            return {**{f"fifth_{p + 1}": m for p, m in enumerate(means)}, "gain": means[-1] - means[0]}

        return resampled(measure, len(targets), 0, rng)


@dataclass(frozen=True, eq=False)
class Shifted:
    """Accuracy on queries as they were before a shift, and what the shift costs.

    The strangers of the session are the same queries, or others of the same classes, without the shift.

    Attributes
    ----------
    columns : int array [s]
        The class of each, as a column.
    """

    columns: NDArray[np.int64]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the measures with their intervals."""
        n, right = answered.n_queries, answered.right.numpy()
        plain = answered.columns[n:].numpy() == self.columns

        def measure(queries: Rows, strangers: Rows) -> dict[str, float]:
            before = float(plain[strangers].mean()) if len(strangers) else float("nan")
            return {"unshifted": before, "drop": before - float(right[queries].mean())}

        return resampled(measure, n, len(plain), rng)


@dataclass(frozen=True, eq=False)
class Certified:
    """The share of queries whose plain vote is right and provably stays so, whatever m items are changed.

    With k neighbours counted alike, m items that are added, deleted or relabelled move the gap between two classes by
    2 m at most, so an answer stays if its gap is above 2 m: Levine and Feizi, Deep Partition Aggregation, ICLR 2021,
    arXiv:2006.14768, with a vote of neighbours in the place of one of partitions.

    Attributes
    ----------
    stays : bool array [q]
    """

    stays: NDArray[np.bool_]

    def __call__(self, answered: Answered, *, rng: Stream) -> Measured:
        """Return the certified accuracy with its interval; it is that of the clean memory, the same for all methods."""

        def measure(queries: Rows, _: Rows) -> dict[str, float]:
            return {"certified": float(self.stays[queries].mean())}

        return resampled(measure, len(self.stays), 0, rng)
