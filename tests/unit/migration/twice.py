"""One data set by two made-up encoders: the second turns what the first saw, into more dimensions."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.core.dataset import Card, Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.functional.classwise import normalise
from bench.utils.random import Stream
from tests import toy

WIDE = 24


def old(n_classes: int = 5) -> Dataset:
    """Return support and queries of overlapping classes."""
    made = toy.dataset(n_classes, images=False, texts=False)
    every, names = list(range(n_classes)), made.class_names
    splits = {split: toy.cloud(every, n, names, split, 0.25) for split, n in (("train", 8), ("test", 10))}
    return replace(
        made,
        card=Card(name="toy", revision="1", encoder="first", space="first@1"),
        splits=splits,
        roles={"support": ("train",), "query": ("test",)},
        prompts=Features.empty(toy.DIMENSION, names),
        memory=Memory.empty(toy.DIMENSION),
    )


def new(dataset: Dataset) -> Dataset:
    """Return the same images by the second encoder, in another order."""
    turn = torch.linalg.qr(torch.randn(WIDE, toy.DIMENSION, generator=Stream(5).torch())).Q.T
    splits = {}
    for name, part in dataset.splits.items():
        moved = replace(part, x=normalise(part.x @ turn))
        splits[name] = moved.take(Stream(6).child(name).permutation(len(part)))
    return replace(
        dataset,
        card=replace(dataset.card, name="toy2", encoder="second", space="second@1", encoder_flops=1000),
        splits=splits,
        prompts=Features.empty(WIDE, dataset.class_names),
        memory=Memory.empty(WIDE),
    )
