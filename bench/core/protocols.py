"""Protocols of methods and scenarios, checked by ``isinstance``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self, runtime_checkable

from torch import Tensor

from bench.core.dataset import Dataset
from bench.core.explanation import Explanation
from bench.core.task import Episode, Session, Task
from bench.utils.random import Stream

Need = Literal["images", "support", "texts", "prompts", "training"]
"""What a method cannot do without: labelled images (support or image memory), labelled support proper,
text items in the memory, a class-text vector for every class, or seen classes to train on."""

Selection = Literal["none", "support-heldout", "validation", "oracle"]
"""Where a method chooses its hyperparameters: nowhere, on support held out, on validation classes. ``oracle``
looks at the query labels; it exists as an upper bound only and is marked in every table."""


Sees = Literal["query", "stream", "set"]
"""What a method looks at when it answers a query: that query alone; those that came before it too, in an order that
tells nothing of their labels; or all queries of a session at once."""

Condition = Mapping[str, Any]
"""What one cell of a scenario varies (a noise rate, a number of shots), as plain values by name."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a method declares about itself.

    ``stores_items``: its state holds the items themselves, so an exemplar budget limits what it may answer from;
    a method that only learns from items is limited in what it may carry to the next session.
    ``grid``: the values of its parameters that ``--tune`` tries.
    ``sees``: which queries an answer depends on; comparisons across kinds are marked.
    """

    paper: str
    equation: str
    fidelity: Literal["faithful", "adapted"]
    adapted: str = ""
    needs: tuple[Need, ...] = ()
    selection: Selection = "none"
    stores_items: bool = False
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sees: Sees = "query"


@runtime_checkable
class Method(Protocol):
    """A frozen recipe that turns a task into a state and scores queries against it.

    Written as a frozen dataclass whose fields are its parameters, registered with ``@method``.
    """

    name: str
    about: About

    def build(self, task: Task, *, rng: Stream) -> Any:
        """Return the state: a value (a dataclass of tensors) that holds all that scoring needs."""

    def score(self, state: Any, queries: Tensor) -> Tensor:
        """Return scores [q, c] of queries [q, d]; larger is closer; column j is ``task.classes[j]``.

        A ``query`` method answers each for itself. A ``set`` method is given all of them at once. A ``stream`` method
        takes them as a stream of their own, from its beginning.
        """


@runtime_checkable
class Streams(Protocol):
    """A method that meets queries one by one, answers each before it sees the next, and may keep what it saw."""

    def begin(self, state: Any) -> Any:
        """Return what is kept of a stream before its first query; a state is left as it is."""

    def step(self, state: Any, seen: Any, queries: Tensor) -> Tensor:
        """Return scores [q, c] of the next queries [q, d], of whose order nothing is used; may write into ``seen``.

        The harness gives one query at a time.
        """


@runtime_checkable
class Trains(Protocol):
    """A method that learns from seen classes once, and is then used on others with its weights unchanged."""

    def train(self, training: Session, validation: Session | None, *, rng: Stream) -> Self:
        """Return the method with trained weights; may choose on ``validation``, never on queries."""


@runtime_checkable
class WantsPixels(Protocol):
    """A method that can train from pixels instead of features."""

    @property
    def wants_pixels(self) -> bool:
        """Whether, with its parameters, its support and queries are to be flattened pixels."""


@runtime_checkable
class Extends(Protocol):
    """A method that goes from one session to the next without the data of the old one."""

    def extend(self, state: Any, task: Task, *, rng: Stream) -> Any:
        """Return the state after a session; ``task.classes`` begins with the old classes, in their order."""


@runtime_checkable
class Forgets(Protocol):
    """A method that forgets items exactly: the scores equal those of a state that never saw them."""

    def forget(self, state: Any, task: Task, ids: Collection[str]) -> Any:
        """Return the state without the items of these ids; ``task`` is the one the state was built on."""


@runtime_checkable
class Spares(Protocol):
    """A method whose training leaves labelled images out, so that it can be calibrated on them without another one."""

    def spared(self, state: Any) -> Collection[str]:
        """Return the ids of labelled images that no training of the state has fitted; none if nothing was trained.

        Something may have been chosen on them, such as an epoch.
        """

    def as_trained(self, state: Any) -> Method:
        """Return the method with the weights of a state, which it takes to any task without training."""


@runtime_checkable
class Describes(Protocol):
    """A method that adds details of its state to the record: what was chosen, which branch was off."""

    def describe(self, state: Any) -> Mapping[str, Any]:
        """Return plain values for the record."""


Part = Literal["class texts", "text branch"]
"""What a method can run without."""


@runtime_checkable
class RunsWithout(Protocol):
    """A method that leaves parts of itself out where a task lacks what they need; tables say so beside its name."""

    def runs_without(self, task: Task) -> tuple[Part, ...]:
        """Return the parts that are left out on this task."""


@runtime_checkable
class Explains(Protocol):
    """A method that can explain an answer."""

    def explain(self, state: Any, task: Task, query: Tensor) -> Explanation:
        """Return what one query [d] is answered from; ``task`` is the one the state was built on."""


@runtime_checkable
class Scenario(Protocol):
    """A frozen recipe that deals tasks; it knows nothing of methods, devices or files.

    Written as a frozen dataclass whose fields are its parameters, registered with ``@scenario``.
    """

    name: str

    def conditions(self, dataset: Dataset) -> Iterator[Condition]:
        """Yield the conditions that are compared (noise rates, shots); at least one, as plain values."""

    def deal(self, dataset: Dataset, condition: Condition, *, rng: Stream, source: Dataset | None = None) -> Episode:
        """Return the tasks of one condition and seed.

        ``source`` is the data set that the parameter ``train_on`` names, for scenarios that have it.
        """
