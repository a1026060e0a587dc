"""Tasks, sessions, episodes and data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.measure import Measure
from bench.core.memory import Items, Memory
from bench.cost.meter import uncounted
from bench.device.moving import Movable
from bench.utils.errors import BenchError


class ItemImages(Protocol):
    """The images behind features, by the ids of their rows."""

    @property
    def encoder(self) -> str:
        """The encoder that made the features, as :func:`bench.encoders.load_encoder` takes it."""

    @property
    def read(self) -> Mapping[str, Callable[[], bytes]]:
        """The bytes of each image's file, by id."""

    def check(self) -> None:
        """Raise :class:`BenchError` if the encoder at hand is not the one that made the features."""

    def pixels(self, ids: np.ndarray) -> Tensor:
        """Return images as the encoder takes them, flattened, float32 [n, channels x height x width]."""

    def encoded(self, ids: np.ndarray, change: Callable[[Any, str], Any]) -> Tensor:
        """Return the features [n, d] of images that are changed before they are encoded, each by its own id."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a method may carry from one session to the next; at most one of the three is a number.

    Attributes
    ----------
    items : int or None
        Exemplars or memory items over all classes together; None is no limit.
    per_class : int or None
        Exemplars or memory items of each class; None is no limit.
    bytes : int or None
        All that is carried, in bytes: exemplars and memory items (their vectors and labels), statistics and weights.
    """

    items: int | None = None
    per_class: int | None = None
    bytes: int | None = None

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return any(limit is not None for limit in (self.items, self.per_class, self.bytes))

    def quota(self, n_classes: int, *, item_bytes: int, reserved: int = 0) -> int | None:
        """Return how many items each of ``n_classes`` classes may keep; None is no limit.

        Parameters
        ----------
        item_bytes : int
            What one item takes; for a budget in bytes.
        reserved : int
            Bytes that something else that is carried takes, such as weights.
        """
        if self.bytes is not None:
            return max(0, self.bytes - reserved) // item_bytes // n_classes
        return self.per_class if self.items is None else self.items // n_classes


@dataclass(frozen=True, eq=False, kw_only=True)
class Task(Movable):
    """A classification problem without its queries.

    Attributes
    ----------
    classes : tuple of int
        Class ids; column j of a method's scores is ``classes[j]``. In class-incremental learning all classes seen
        so far, in order of arrival.
    class_names : tuple of str
        The name of each column's class.
    support : Features
        Labelled images of this task (of the new session only, in class-incremental learning); may be empty.
    memory : Memory
        Items a method may retrieve from; either modality may be empty.
    prompts : Features
        The class-text vector of each class that has one, at most one a class; may be empty.
    budget : Budget
        What may be kept for later sessions.
    session : int
        Its number among the sessions of its episode, from 0.
    prototype_memory : Memory or None
        Items that class prototypes are made of, where they are not those a method retrieves from; None is the same.
    pictures : ItemImages or None
        The images behind the features, for a method that trains from pixels; None where there are features only.
    soft_pruning : bool
        Whether items that mislead others are to count for less; for methods that weigh the votes of items.
    choose_on : Features or None
        Labelled images of these classes to choose settings on, beside the support: the validation split, where the run
        says ``--selection validation-split``. None: a method chooses on images that it holds out of the support.
    dataset : str
        The name of the data set it was dealt from; for settings that a paper gives by data set.
    """

    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    support: Features
    memory: Memory
    prompts: Features
    budget: Budget = field(default_factory=Budget)
    session: int = 0
    prototype_memory: Memory | None = None
    pictures: ItemImages | None = None
    soft_pruning: bool = False
    choose_on: Features | None = None
    dataset: str = ""

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) != len(self.class_names):
            raise BenchError("the classes of a task must differ and each needs one name")
        if len(self.classes) < 2:
            raise BenchError(
                f"a task needs at least two classes, this one has {len(self.classes)}; add classes or "
                "widen the class split"
            )

    @property
    def n_classes(self) -> int:
        """The number of columns c."""
        return len(self.classes)

    @property
    def dimension(self) -> int:
        """The number of dimensions d of its features."""
        return self.support.dimension

    @property
    def device(self) -> torch.device:
        """Where its features lie."""
        return self.support.x.device

    def quota(self, *, reserved: int = 0) -> int | None:
        """Return how many items of each class may be kept under the budget; None is no limit.

        An item is a vector as wide and as precise as those of the support, and an int64 label. ``reserved`` is how
        many bytes go to weights and statistics.
        """
        item_bytes = self.dimension * self.support.x.element_size() + torch.int64.itemsize
        return self.budget.quota(self.n_classes, item_bytes=item_bytes, reserved=reserved)

    @cached_property
    def _lookup(self) -> Tensor:
        table = torch.full((max(self.classes) + 1,), -1, dtype=torch.int64)
        table[torch.tensor(self.classes)] = torch.arange(len(self.classes))
        return table.to(self.device)

    @cached_property
    def labelled(self) -> Items:
        """The labelled images to learn classes from: the support, or weakly labelled images if there is none.

        Those are the images of the prototype memory where a task has one, and of the memory elsewhere.
        """
        if len(self.support):
            return Items.of_features(self.support, "support")
        return self.for_prototypes.memory.images

    @cached_property
    def image_memory(self) -> Items:
        """The image items to retrieve from: the image memory, or the support if there is none."""
        return self.memory.images if len(self.memory.images) else self.labelled

    @cached_property
    def text_memory(self) -> Items:
        """The text items to retrieve from: the text memory, or the class texts if there is none."""
        return self.memory.texts if len(self.memory.texts) else Items.of_features(self.prompts, "class text")

    @cached_property
    def for_prototypes(self) -> Task:
        """The task whose memory class prototypes are made of: this one, unless it has a memory for them."""
        if self.prototype_memory is None:
            return self
        return replace(self, memory=self.prototype_memory, prototype_memory=None)

    @cached_property
    def all_images(self) -> Items:
        """Every labelled image: the image memory and the support, each item once."""
        if not len(self.support) or not len(self.memory.images):
            return self.image_memory
        new = ~np.isin(self.support.ids, self.memory.images.ids)
        return Items.concat([self.memory.images, Items.of_features(self.support.take(new), "support")])

    def columns(self, labels: Tensor) -> Tensor:
        """Return the score column of each class id, int64, same shape; every id must be one of ``classes``."""
        with uncounted():
            found = self._lookup.to(labels.device)[labels.clamp(max=len(self._lookup) - 1)]
            found = torch.where(labels < len(self._lookup), found, -1)
            if bool((found < 0).any()):
                stranger = int(labels[found < 0][0])
                raise BenchError(f"class {stranger} is not among the classes of the task; restrict its features first")
            return found


@dataclass(frozen=True, kw_only=True)
class Edit:
    """How a session's memory differs from that of the session before.

    Attributes
    ----------
    removed : tuple of str
        Ids of items that are gone.
    only_removes : bool
        Whether nothing else changed, so that a method that forgets exactly need not be rebuilt.
    """

    removed: tuple[str, ...] = ()
    only_removes: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Session(Movable):
    """A task with the queries it is scored on. Methods see ``queries.x``; only training sessions show labels.

    ``edit`` says that the session's task is that of the session before it with an edited memory; it is whole, not
    what is new. ``evidence`` is on how many queries the harness looks at what answers rest on; 0 for none.

    Attributes
    ----------
    strangers : Features or None
        Further queries that count in no accuracy: of classes that the task does not have, or before a shift. They are
        asked among the queries.
    measure : Measure or None
        What is measured of the answers beside accuracy.
    order : tuple of int or None
        Positions of the queries in the order in which they are asked, which may tell of their labels; None shuffles.
    """

    task: Task
    queries: Features
    notes: Mapping[str, Any] = field(default_factory=dict)
    edit: Edit | None = None
    evidence: int = 0
    strangers: Features | None = None
    measure: Measure | None = None
    order: tuple[int, ...] | None = None

    @cached_property
    def asked(self) -> Features:
        """The queries, and the strangers behind them."""
        return self.queries if self.strangers is None else Features.concat([self.queries, self.strangers])

    @cached_property
    def targets(self) -> Tensor:
        """The score column of each query's class, int64 [q]; for training on seen classes only."""
        return self.task.columns(self.queries.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Episode(Movable):
    """All that one condition and seed of a scenario deals.

    Attributes
    ----------
    sessions : tuple of Session
        One, or one a step of class-incremental learning.
    training : Session or None
        Seen classes with their own memory; the queries are the labelled training images.
    validation : Session or None
        Classes (or images) on which a method may choose; disjoint from the queries of ``sessions``.
    independent : bool
        Whether each session is a problem of its own (few-shot episodes), so that nothing is carried to the next.
    without_texts : str
        Why no class has a text, where the encoder has none to give; empty otherwise.
    """

    sessions: tuple[Session, ...]
    training: Session | None = None
    validation: Session | None = None
    independent: bool = False
    without_texts: str = ""
