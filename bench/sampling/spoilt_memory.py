"""A memory with a share of its items spoilt, and the list of what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.sampling import noise
from bench.utils.random import Stream

Modality = Literal["both", "images", "texts"]


@dataclass(frozen=True)
class Spoiler:
    """What is spoilt and how.

    Attributes
    ----------
    kind : str
        One of :data:`bench.sampling.noise.MemoryNoise`.
    strength : float
        For ``corrupted``, the length of the change as a multiple of the vector's length.
    """

    kind: noise.MemoryNoise
    modality: Modality
    strength: float

    def spoil(
        self, dataset: Dataset, memory: Memory, others: Memory, classes: Sequence[int], rate: float, rng: Stream
    ) -> tuple[Memory, dict[str, Any]]:
        """Return the noisy memory and the notes: of each changed item its id, or its id and both class names.

        Parameters
        ----------
        others : Memory
            Items of classes that take no part, from which off-topic ones are drawn; where it has none of a modality,
            they are drawn from the Gaussian of that modality's items.
        classes : sequence of int
            The classes among which labels move.
        """
        changed: list[Any] = []
        made = {}
        parts, strange = self._parts(memory), self._parts(others)
        for name, items in parts.items():
            if not len(items):
                continue
            spoilt = self._spoilt(items, strange[name], classes, rate, rng.child("noise", name))
            # An item in the place of its right class would tell of it.
            made[name] = spoilt.items.take(rng.child("order", name).order(items.ids))
            changed += _listed(items, spoilt, dataset.class_names)
        notes: dict[str, Any] = {"items_changed": len(changed), "changed": changed}
        if self.kind == "off-topic":
            notes["off_topic_from"] = {
                name: "other classes" if len(strange[name]) else "a Gaussian fitted to the memory"
                for name, items in parts.items()
                if len(items)
            }
        return memory.replace(**made), notes

    def _spoilt(self, items: Items, others: Items, classes: Sequence[int], rate: float, rng: Stream) -> noise.Spoilt:
        if self.kind == "wrong-class":
            return noise.wrong_class(items, classes, rate, rng=rng)
        if self.kind == "off-topic":
            return noise.off_topic(items, rate, rng=rng, pool=others.x if len(others) else None)
        return noise.corrupted(items, rate, rng=rng, strength=self.strength)

    def _parts(self, memory: Memory) -> dict[str, Items]:
        """Return the items of the modalities that are spoilt, by name."""
        parts = {"images": memory.images, "texts": memory.texts}
        return parts if self.modality == "both" else {self.modality: parts[self.modality]}


def _listed(items: Items, spoilt: noise.Spoilt, names: Sequence[str]) -> list[Any]:
    rows = spoilt.rows
    old, new = items.labels[rows].tolist(), spoilt.items.labels[rows].tolist()
    return [
        str(name) if a == b else [str(name), names[a], names[b]]
        for name, a, b in zip(items.ids[rows.numpy()], old, new, strict=True)
    ]
