"""A memory with a share of its items spoilt, and the list of what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Gt

from bench.core.dataset import Dataset
from bench.core.memory import Items, Memory
from bench.core.task import Session
from bench.sampling import noise
from bench.sampling.frame import Frame
from bench.utils.random import Stream

Modality = Literal["both", "images", "texts"]

Where = Literal["both", "prototypes", "retrieval"]
"""Which memory is noisy: the one prototypes are made of, the one a method retrieves from, or both as one."""


@dataclass(frozen=True, kw_only=True)
class Spoiler:
    """What is spoilt and how; a base of recipes.

    Attributes
    ----------
    kind : str
        ``wrong-class`` lays an item under another class's name; ``off-topic`` exchanges it for one of its modality and
        of a class that takes no part, or, if there is none, for a random point with the mean and covariance of the
        modality's items; ``corrupted`` shakes its vector by ``strength`` times its length.
    modality : str
        Which items are spoilt.
    strength : float
        For ``corrupted``, the length of the change as a multiple of the vector's length.
    """

    kind: noise.MemoryNoise = "wrong-class"
    modality: Modality = "both"
    strength: Annotated[float, Gt(0)] = 1.0

    def spoil(self, frame: Frame, rate: float, where: Where) -> Session:
        """Return the target session with a noisy memory; the notes hold what was changed.

        Items become those of classes that take no part, if they are off-topic; where there are none of a modality,
        points drawn from the Gaussian of that modality's items.
        """
        clean = frame.session.task.memory
        noisy, notes = self.spoilt(frame.dataset, clean, frame.others, frame.target, rate, frame.rng)
        task = replace(
            frame.session.task,
            memory=clean if where == "prototypes" else noisy,
            prototype_memory={"both": None, "prototypes": noisy, "retrieval": clean}[where],
        )
        return replace(frame.session, task=task, notes={**frame.session.notes, **notes})

    def spoilt(
        self, dataset: Dataset, memory: Memory, others: Memory, classes: Sequence[int], rate: float, rng: Stream
    ) -> tuple[Memory, dict[str, Any]]:
        """Return the noisy memory and the notes: of each changed item its id, or its id and both class names.

        Parameters
        ----------
        others : Memory
            Items from which off-topic ones are drawn; of a modality that is empty, from the items' Gaussian.
        classes : sequence of int
            The classes among which labels move.
        """
        changed: list[Any] = []
        made = {}
        parts, strange = self._parts(memory), self._parts(others)
        for name, items in parts.items():
            if not len(items):
                continue
            spoilt = self._items(items, strange[name], classes, rate, rng.child("noise", name))
            # An item in the place of its right class would tell of it.
            order = rng.child("order", name).order(items.ids)
            made[name] = spoilt.items.take(order) if len(spoilt.rows) else items
            changed += _listed(items, spoilt, dataset.class_names)
        notes: dict[str, Any] = {"items_changed": len(changed), "changed": changed}
        if self.kind == "off-topic":
            notes["off_topic_from"] = {
                name: "other classes" if len(strange[name]) else "a Gaussian fitted to the memory"
                for name, items in parts.items()
                if len(items)
            }
        return memory.replace(**made), notes

    def _items(self, items: Items, others: Items, classes: Sequence[int], rate: float, rng: Stream) -> noise.Spoilt:
        if self.kind == "wrong-class":
            return noise.wrong_class(items, classes, rate, rng=rng)
        if self.kind == "off-topic":
            return noise.off_topic(items, rate, rng=rng, pool=others if len(others) else None)
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
