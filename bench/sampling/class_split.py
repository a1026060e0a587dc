"""Which classes of a data set take part, and how they are split into seen, validation and unseen ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.core.dataset import Dataset
from bench.utils.errors import BenchError
from bench.utils.random import Stream

Classes = Literal["all", "with-texts", "with-images", "with-both"]
"""Which classes of a data set take part: all, or only those with text items or prompts, or with image items."""


def eligible(dataset: Dataset, which: Classes) -> tuple[int, ...]:
    """Return the class ids that take part, ascending."""
    chosen = set(range(len(dataset.class_names)))
    if which in ("with-texts", "with-both"):
        chosen &= set(dataset.memory.texts.labels.tolist()) | set(dataset.prompts.labels.tolist())
    if which in ("with-images", "with-both"):
        chosen &= set(dataset.memory.images.labels.tolist()) | set(dataset.role("support").labels.tolist())
    if len(chosen) < 2:
        raise BenchError(
            f"data set {dataset.name}: {len(chosen)} classes are {which!r} and at least two are needed; "
            "import it with --texts, or choose other classes"
        )
    return tuple(sorted(chosen))


def check_split(dataset: Dataset, *, seen: float, validation: float) -> None:
    """Raise :class:`BenchError` if the shares leave no unseen class or the data set's own split overlaps.

    With ``seen`` 0 classes are not split, and nothing is checked.
    """
    if not seen:
        return
    if seen + validation >= 1:
        raise BenchError(f"seen={seen} and validation={validation} leave no unseen class; lower them")
    every = [c for part in dataset.class_split.values() for c in part]
    twice = sorted({c for c in every if every.count(c) > 1})
    if twice:
        raise BenchError(
            f"data set {dataset.name}: class {dataset.class_names[twice[0]]!r} is in two parts of the class split; "
            "leave it in one"
        )


def class_order(names: Sequence[str], ids: Sequence[int], rng: Stream) -> list[int]:
    """Return class ids in a random order that the names decide, wherever they stand; ``names`` are those of all."""
    return [ids[i] for i in rng.order([names[c] for c in ids])]


def split_classes(
    dataset: Dataset, ids: Sequence[int], *, seen: float, validation: float, rng: Stream
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return seen, validation and unseen classes: disjoint, as the data set declares them or drawn by share.

    With ``seen`` 0 there is nothing to train on and all classes are unseen.
    """
    check_split(dataset, seen=seen, validation=validation)
    if not seen:
        return (), (), tuple(ids)
    if dataset.class_split:
        wanted = set(ids)
        parts = [
            tuple(c for c in dataset.class_split.get(part, ()) if c in wanted)
            for part in ("seen", "validation", "unseen")
        ]
    else:
        order = class_order(dataset.class_names, ids, rng.child("class-split"))
        a, b = round(len(ids) * seen), round(len(ids) * (seen + validation))
        parts = [tuple(sorted(part)) for part in (order[:a], order[a:b], order[b:])]
    if len(parts[0]) < 2 or len(parts[2]) < 2:
        raise BenchError(
            f"data set {dataset.name}: {len(parts[0])} seen and {len(parts[2])} unseen classes; two of each are needed"
        )
    return parts[0], parts[1], parts[2]
