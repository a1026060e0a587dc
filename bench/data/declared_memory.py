"""A memory of images that a pack's manifest declares from splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Items
from bench.data.memory_entries import Declared, Entry
from bench.utils.errors import BenchError
from bench.utils.names import plain
from bench.utils.random import Stream

Resolve = Callable[[str], Dataset]


def declared_images(
    name: str,
    declared: Declared,
    splits: Mapping[str, Features],
    class_names: tuple[str, ...],
    d: int,
    resolve: Resolve,
) -> Items:
    """Return the image memory that a manifest declares from its own and other packs' splits.

    Each entry of ``memory.images`` names a ``split`` (of this pack, or of the one named by ``pack``). Items of this
    pack are found under their class's name; items of another under the class of the same name. Of an entry with
    ``wrong_class_rate`` exactly that share is found under the keyword of another class. An entry with ``off_topic``
    gives that number of random items of the other pack under random keywords; ``off_topic_share`` gives as many as
    make that share of the whole memory.
    """
    rng = Stream(declared.seed).child("memory")
    parts: list[Items] = []
    off_topic: list[tuple[int, Entry, Features, str]] = []
    for number, entry in enumerate(declared.images):
        other = resolve(entry.pack) if entry.pack else None
        available = other.splits if other else splits
        if entry.split not in available:
            raise BenchError(f"pack {name}: memory names split {entry.split!r}, known are {', '.join(available)}")
        # Without the pack's own name, so that the same images have the same ids in packs of any name.
        features, source = available[entry.split], f"{other.name}:{entry.split}" if other else entry.split
        if features.dimension != d:
            raise BenchError(
                f"pack {name}: memory split {source} has {features.dimension} dimensions instead of {d}; encode both "
                "packs with the same encoder"
            )
        if entry.off_topic is not None or entry.off_topic_share is not None:
            off_topic.append((number, entry, features, source))
            continue
        labels = _labels_by_name(features, class_names) if other else features.labels
        items = Items(features.x, labels, _named(features.ids, source), np.full(len(features), source))
        items = items.take(labels >= 0)
        if entry.wrong_class_rate > 0 and len(class_names) < 2:
            raise BenchError(f"pack {name}: memory entry {number} has a wrong_class_rate, and there is no other class")
        parts.append(_mislabel(items, entry.wrong_class_rate, len(class_names), rng.child(number)))
    on_topic = sum(len(part) for part in parts)
    for number, entry, features, source in off_topic:
        share = entry.off_topic_share or 0.0
        count = round(on_topic * share / (1 - share)) if entry.off_topic is None else entry.off_topic
        if not 0 <= count <= len(features):
            raise BenchError(f"pack {name}: {count} off-topic items are wanted of {source}, which has {len(features)}")
        draw = rng.child(number)
        chosen = features.take(np.sort(draw.order(features.ids)[:count]))
        keywords = torch.from_numpy(_below(len(class_names), draw.child("keywords"), chosen.ids))
        parts.append(Items(chosen.x, keywords, _named(chosen.ids, source), np.full(count, f"off-topic:{source}")))
    return Items.concat(parts) if parts else Items.empty(d)


def _named(ids: np.ndarray, source: str) -> np.ndarray:
    return np.char.add(f"{source}:", ids) if len(ids) else ids


def _labels_by_name(features: Features, class_names: tuple[str, ...]) -> Tensor:
    """Return the label of the class of the same name, or -1, int64 [n]."""
    ours = {plain(name): label for label, name in enumerate(class_names)}
    table = torch.tensor([ours.get(plain(name), -1) for name in features.class_names], dtype=torch.int64)
    return table[features.labels]


def _mislabel(items: Items, rate: float, n_classes: int, rng: Stream) -> Items:
    """Return the items with exactly ``round(rate x m)`` of them under the keyword of another class."""
    moved = torch.from_numpy(rng.order(items.ids)[: round(rate * len(items))])
    labels = items.labels.clone()
    # Adding 1 .. c - 1 modulo c reaches every other class with the same probability and never the own one.
    steps = 1 + torch.from_numpy(_below(n_classes - 1, rng.child("steps"), items.ids[moved.numpy()]))
    labels[moved] = (labels[moved] + steps) % n_classes
    return replace(items, labels=labels)


def _below(n: int, rng: Stream, ids: np.ndarray) -> np.ndarray:
    """Return a random whole number from 0 to below ``n`` for each id, int64."""
    drawn: np.ndarray = np.floor(rng.shares(ids) * n).astype(np.int64)
    return drawn
