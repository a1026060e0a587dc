"""The external memory: weakly labelled image and text items that can be edited and exactly un-edited."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch

from bench.core.features import Features
from bench.core.rows import Rows
from bench.device.moving import Movable
from bench.search import Index
from bench.utils.errors import BenchError
from bench.utils.hashing import digest


@dataclass(frozen=True, eq=False)
class Items(Rows):
    """The items of one modality.

    Attributes
    ----------
    x : Tensor [m, d]
        Features, in the dtype in which they are stored; may be memory-mapped.
    labels : int64 Tensor [m]
        The weak label: the class id whose name was the keyword by which the item was found.
    ids : str array [m]
        Stable names, unique within a memory.
    sources : str array [m]
        Where each item came from (a search engine, a data-set split).
    annotated : bool
        Whether the labels are those of labelled images, which stand in for a memory, and not keywords.
    """

    stored_as: ClassVar = "memory"

    sources: np.ndarray
    annotated: bool = field(default=False, compare=False)

    words = "memory items"
    columns = ("ids", "sources")

    @cached_property
    def index(self) -> Index:
        """Exact search over these items."""
        return Index(self.x)

    def check(self, what: str) -> None:
        """Raise :class:`BenchError` for NaN, infinite or zero vectors."""
        names = tuple(str(c) for c in range(int(self.labels.max()) + 1)) if len(self) else ()
        Features(self.x, self.labels, self.ids, names).check(what)

    @staticmethod
    def of_features(features: Features, source: str, *, annotated: bool = True) -> Items:
        """Return labelled features as items that were found under their class's name."""
        return Items(features.x, features.labels, features.ids, np.full(len(features), source), annotated)

    @staticmethod
    def empty(dimension: int) -> Items:
        """Return no items on the CPU; beside items that are there, :meth:`emptied` fits them."""
        none = np.zeros(0, dtype="U1")
        return Items(torch.zeros(0, dimension), torch.zeros(0, dtype=torch.int64), none, none)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return the items of several sets, one after the other; ids must not repeat."""
        joined = super().concat(parts)
        full = [part for part in parts if len(part)]
        if len(full) > 1:
            joined = replace(joined, annotated=any(part.annotated for part in full))
            values, counts = np.unique(joined.ids, return_counts=True)
            if (counts > 1).any():
                raise BenchError(f"memory item {values[counts > 1][0]} is there already; give each item its own id")
        return joined


@dataclass(frozen=True, eq=False)
class Memory(Movable):
    """Image and text items, kept apart. Every edit returns a new memory and leaves the old one as it was."""

    images: Items
    texts: Items

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of all items; two memories with the same items in the same order share it."""
        return digest(self.images.fingerprint, self.texts.fingerprint)

    def __len__(self) -> int:
        return len(self.images) + len(self.texts)

    @property
    def branches(self) -> str:
        """Which modalities hold items: ``"image+text"``, ``"image"``, ``"text"`` or ``"none"``."""
        parts = [name for name, items in (("image", self.images), ("text", self.texts)) if len(items)]
        return "+".join(parts) or "none"

    def add(self, *, images: Items | None = None, texts: Items | None = None) -> Memory:
        """Return a memory with further items behind the present ones."""
        return Memory(
            Items.concat([self.images, images]) if images is not None else self.images,
            Items.concat([self.texts, texts]) if texts is not None else self.texts,
        )

    def remove(self, *, ids: Iterable[str] = (), classes: Iterable[int] = (), sources: Iterable[str] = ()) -> Memory:
        """Return a memory without the named items, the items of some classes and those of some sources.

        Raises
        ------
        BenchError
            If an id, class or source is not in the memory.
        """
        names, labels, origins = set(ids), set(classes), set(sources)
        self._require("item", names, np.concatenate([self.images.ids, self.texts.ids]))
        self._require("source", origins, np.concatenate([self.images.sources, self.texts.sources]))
        both = torch.cat([self.images.labels, self.texts.labels]).cpu().numpy()
        self._require("class", labels, both)

        def keep(items: Items) -> Items:
            gone = (
                np.isin(items.ids, list(names))
                | np.isin(items.sources, list(origins))
                | np.isin(items.labels.cpu().numpy(), list(labels))
            )
            return items.take(~gone) if gone.any() else items

        return Memory(keep(self.images), keep(self.texts))

    @staticmethod
    def _require(kind: str, wanted: set[str] | set[int], present: np.ndarray) -> None:
        missing = sorted(wanted - set(present.tolist()))
        if missing:
            raise BenchError(f"the memory holds no {kind} {missing[0]!r}; look with `bench data inspect`")

    def replace(self, *, images: Items | None = None, texts: Items | None = None) -> Memory:
        """Return a memory with one or both modalities exchanged."""
        return Memory(self.images if images is None else images, self.texts if texts is None else texts)

    def emptied(self) -> Memory:
        """Return a memory without items, on the same device and in the same dtypes."""
        return Memory(self.images.emptied(), self.texts.emptied())

    def restrict(self, classes: Collection[int]) -> Memory:
        """Return the items found under the keywords of the given classes."""
        return Memory(self.images.of_classes(classes), self.texts.of_classes(classes))

    @staticmethod
    def empty(dimension: int) -> Memory:
        """Return a memory without items on the CPU; for one like another, :meth:`emptied`."""
        return Memory(Items.empty(dimension), Items.empty(dimension))
