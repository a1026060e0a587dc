"""Data sets: splits of features with class texts, a memory, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import ItemImages
from bench.utils.errors import BenchError
from bench.utils.hashing import digest


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a data set is: provenance, not values.

    Attributes
    ----------
    near : float
        Cosine from which two of its images count as near-duplicates. It belongs to the encoder's space: 0.97 suits
        CLIP on photographs, and a space in which different images lie closer together declares more.
    encoder_flops : int or None
        What the encoder computes for one image; None if unknown.
    encoder_licence : str
        Of the encoder's weights.
    encoder_texts : str
        ``joint`` if texts lie where its images do, ``synthesised`` if they were made of a classifier's rows, ``none``
        if it has no text tower; empty if unknown.
    """

    name: str
    revision: str
    licence: str = "unknown"
    citation: str = ""
    encoder: str = "unknown"
    space: str = ""
    description: str = ""
    near: float = 0.97
    encoder_flops: int | None = None
    encoder_licence: str = "unknown"
    encoder_texts: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Splits of one data set in one encoder's space, with class texts and a memory where there are any.

    Attributes
    ----------
    roles : mapping of str to tuple of str
        Which splits serve as ``"support"``, ``"query"`` and ``"validation"``.
    class_split : mapping of str to tuple of int
        Class ids of ``"seen"``, ``"validation"`` and ``"unseen"``; empty when the data set declares none.
    pictures : ItemImages or None
        The images behind the features; None where they are not at hand.
    """

    card: Card
    class_names: tuple[str, ...]
    splits: Mapping[str, Features]
    roles: Mapping[str, tuple[str, ...]]
    prompts: Features
    memory: Memory
    class_split: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    pictures: ItemImages | None = None

    @property
    def name(self) -> str:
        """The data set's name in records and tables."""
        return self.card.name

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of every split, the class texts and the memory."""
        return digest(
            sorted((name, split.fingerprint) for name, split in self.splits.items()),
            {role: list(names) for role, names in self.roles.items()},
            self.prompts.fingerprint,
            self.memory.fingerprint,
            {part: list(classes) for part, classes in self.class_split.items()},
        )

    @cached_property
    def items(self) -> str:
        """Content hash of what the draws of scenarios depend on: ids by role and in the memory, and class names.

        The same images have the same under any name and in any encoder's space.
        """
        roles = {role: sorted(self.role(role).ids.tolist()) for role in self.roles}
        memory = [sorted(part.ids.tolist()) for part in (self.memory.images, self.memory.texts)]
        return digest(roles, memory, list(self.class_names))

    @property
    def dimension(self) -> int:
        """The number of dimensions d of its features."""
        return next(iter(self.splits.values())).dimension

    def role(self, name: str) -> Features:
        """Return the rows that serve in a role, all its splits one after the other; empty if it has none."""
        parts = [self.splits[split] for split in self.roles.get(name, ())]
        if not parts:
            return Features.empty(self.dimension, self.class_names)
        return parts[0] if len(parts) == 1 else Features.concat(parts)

    def check(self) -> None:
        """Raise :class:`BenchError` for anything in the data that would make a result meaningless."""
        if len(self.class_names) < 2:
            raise BenchError(f"data set {self.name} has {len(self.class_names)} class; at least two are needed")
        for role, names in self.roles.items():
            for split in names:
                if split not in self.splits:
                    raise BenchError(
                        f"data set {self.name}: role {role!r} names split {split!r}, which is not there; "
                        f"it has {', '.join(self.splits)}"
                    )
        dimensions = {name: split.dimension for name, split in self.splits.items()}
        for what, items in (("image memory", self.memory.images), ("text memory", self.memory.texts)):
            if len(items):
                dimensions[what] = int(items.x.shape[1])
                items.check(f"{self.name}, {what}")
        if len(self.prompts):
            dimensions["class texts"] = self.prompts.dimension
        if len(set(dimensions.values())) > 1:
            raise BenchError(
                f"data set {self.name} mixes dimensions {dimensions}; encode all parts with the same encoder"
            )
        for name, features in self.splits.items():
            features.check(f"{self.name}, split {name}")
        self.prompts.check(f"{self.name}, class texts")


def require_same_space(one: Dataset, other: Dataset) -> None:
    """Refuse two data sets whose features one encoder cannot have made.

    Raises
    ------
    BenchError
        For another dimension, or another encoder where both name theirs.
    """
    if one.dimension != other.dimension:
        raise BenchError(
            f"data sets {one.name} (d = {one.dimension}) and {other.name} (d = {other.dimension}) are not in one "
            "space; encode both with the same encoder"
        )
    if one.card.space and other.card.space and one.card.space != other.card.space:
        raise BenchError(
            f"data sets {one.name} and {other.name} come from different encoders ({one.card.space} and "
            f"{other.card.space}); encode both with the same one"
        )
