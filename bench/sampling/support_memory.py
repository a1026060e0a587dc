"""Memories that are made of labelled images: those that are not dealt, or a clean half."""

from __future__ import annotations

from typing import Literal

import torch

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items, Memory
from bench.sampling.memory_source import declared_or_bare
from bench.sampling.sessions import exclude
from bench.utils.random import Stream

REST = "rest of the support"
HELD_OUT = "held-out support"
"""What conditions and sources call labelled images that stand in for a memory."""


Rest = Literal["shots", "declared", "rest"]
"""The image memory of shots: the shots themselves, what a data set declares, or the labelled images that are none."""

HeldOut = Literal["auto", "declared", "held-out", "none"]
"""The image memory beside a noisy support: what a data set declares, a clean half of the support, or nothing."""


def _rest(dataset: Dataset, which: Rest, pool: Features, support: Features) -> Features | None:
    """Return the labelled images that are no shots, where they stand in for a memory and there are any."""
    rest = exclude(pool, [support]) if which == "rest" else pool.take([])
    return rest if len(rest) else None


def rest_stands_in(dataset: Dataset, which: Rest, pool: Features, support: Features) -> dict[str, str]:
    """Return for the condition that the rest stands in for a memory; empty where it does not."""
    return {} if _rest(dataset, which, pool, support) is None else {"memory": REST}


def with_rest(dataset: Dataset, which: Rest, pool: Features, support: Features) -> tuple[Memory, str]:
    """Return the memory beside some shots of the labelled images, and where its images are from, for the notes."""
    rest = _rest(dataset, which, pool, support)
    if rest is not None:
        return dataset.memory.replace(images=Items.of_features(rest, REST)), f"{REST} under its class names"
    return declared_or_bare(
        dataset, "declared" if which == "declared" else "none", "supervised.memory", instead="the shots"
    )


def with_held_out(dataset: Dataset, which: HeldOut, pool: Features, rng: Stream) -> tuple[Features, Memory, str]:
    """Return the images to learn from, the memory, and where its images are from.

    ``held-out`` takes every second image of a class, in an order drawn by class, for the memory.
    """
    if which != "held-out":
        return pool, *declared_or_bare(dataset, which, "label-noise.memory", instead="the noisy support")
    half, marks = torch.zeros(len(pool), dtype=torch.bool), torch.from_numpy(rng.child("held-out").order(pool.ids))
    for label in pool.labels.unique().tolist():
        half[marks[pool.labels[marks] == label][1::2]] = True
    memory = dataset.memory.replace(images=Items.of_features(pool.take(half), HELD_OUT))
    return pool.take(~half), memory, "half of the support, with clean labels"
