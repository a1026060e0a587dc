"""Which classes can give so many labelled images, and what to do where some cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from bench.core.features import Features
from bench.sampling.labelled import Labelled
from bench.utils.errors import BenchError

Scarce = Literal["refuse", "skip", "lower"]
"""Where a class has fewer images than the largest count: refuse it, skip the class, or lower the counts."""


@dataclass(frozen=True, kw_only=True)
class ShotCounts:
    """How many labelled images of a class are dealt, one condition per count; a base of recipes.

    Attributes
    ----------
    shots : tuple of int
        Labelled images a class; one condition each.
    scarce : str
        What to do where a class has fewer images than the largest count: ``refuse`` with its name; ``skip`` the class,
        in all conditions; or ``lower`` the counts to those that every class can give.
    """

    shots: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1, 2, 4, 8, 16)
    scarce: Scarce = "refuse"

    def counts(self, labelled: Labelled, owner: str, *, drawn: bool) -> tuple[int, ...]:
        """Return the counts that are dealt; an error if there is none, or if :meth:`able` finds too few classes.

        Parameters
        ----------
        drawn : bool
            Whether a seed draws some of the classes, so that it is not known here which of them must give so many.
        """
        if self.scarce == "lower":
            return _lowered(labelled.pool, labelled.ids, self.shots, dataset=labelled.dataset.name)
        if not drawn:
            self.able(labelled, owner)
        return self.shots

    def able(self, labelled: Labelled, owner: str) -> tuple[tuple[int, ...], dict[str, list[str]]]:
        """Return the classes that can give the largest count, and the names of the others for the notes.

        Parameters
        ----------
        owner : str
            The scenario, for the message if some cannot and that is refused.
        """
        data = labelled.dataset
        able, skipped = _able(
            labelled.pool, labelled.ids, max(self.shots), self.scarce, dataset=data.name, setting=f"{owner}.scarce"
        )
        return able, {"classes_skipped": [data.class_names[c] for c in skipped]}


def _images_of(pool: Features, classes: Sequence[int]) -> dict[int, int]:
    """Return how many images each of the classes has, in their order."""
    have = pool.labels.bincount(minlength=len(pool.class_names)).tolist()
    return {c: have[c] for c in classes}


def _lowered(pool: Features, classes: Sequence[int], counts: Sequence[int], *, dataset: str) -> tuple[int, ...]:
    """Return those of the counts that every class can give; an error if there is none."""
    least = min(_images_of(pool, classes).values())
    possible = tuple(count for count in counts if count <= least)
    if not possible:
        raise _too_few(pool, classes, min(counts), "ask for fewer", dataset)
    return possible


def _able(
    pool: Features, classes: Sequence[int], most: int, scarce: Scarce, *, dataset: str, setting: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the classes that can give the largest count, so that all conditions compare, and the others.

    Parameters
    ----------
    setting : str
        The parameter that says what to do, for the message.

    Raises
    ------
    BenchError
        If a class cannot and ``scarce`` refuses that, or if fewer than two can.
    """
    if scarce == "lower":
        return tuple(classes), ()
    can = tuple(c for c, images in _images_of(pool, classes).items() if images >= most)
    if len(can) < len(classes) and scarce == "refuse":
        advice = f"ask for fewer, or set {setting}=skip (or lower) to run on the others"
        raise _too_few(pool, classes, most, advice, dataset)
    if len(can) < 2:
        raise _too_few(pool, classes, most, f"{len(can)} can give them; ask for fewer", dataset)
    return can, tuple(c for c in classes if c not in set(can))


def _too_few(pool: Features, classes: Sequence[int], count: int, advice: str, dataset: str) -> BenchError:
    poor = {c: images for c, images in _images_of(pool, classes).items() if images < count}
    first = next(iter(poor))
    return BenchError(
        f"data set {dataset}: {count} shots are wanted but class {pool.class_names[first]!r} has "
        f"{poor[first]} images ({len(poor)} such classes); {advice}"
    )
