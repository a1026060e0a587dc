"""How many edits of a memory leave an answer as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from bench.core.task import Task

Edit = Literal["remove", "relabel", "insert"]
"""What is done to a memory: any items leave, any items get any labels, any vectors come with any labels."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """The least number of edits of one kind after which each answer may change.

    The scope is edits of the memory alone: the encoder, and the method's settings as they were, stay.

    Attributes
    ----------
    least : int64 Tensor [q]
        From 1 to the largest number that was asked for, and one more for an answer that stands all of these.
    exact : bool Tensor [q]
        Whether as many edits do change the answer; else the number is a lower bound.
    """

    least: Tensor
    exact: Tensor


@runtime_checkable
class Certifies(Protocol):
    """A method whose answers come with a certificate."""

    def certify(self, state: object, task: Task, queries: Tensor, edit: Edit, most: int) -> Certificate:
        """Return the certificate of queries [q, d] for up to ``most`` edits.

        Raises
        ------
        Unsuitable
            If there is no rule for such edits, or the state does not hold what it needs.
        """


@runtime_checkable
class NamesRemovals(Protocol):
    """A method that can name the fewest items whose removal changes an answer."""

    def fewest_removals(self, state: object, task: Task, query: Tensor, most: int) -> list[tuple[str, ...]]:
        """Return the ids of items in sets, each of the fewest that change the answer to a query [d].

        All sets of one item; of more, one set. None where more than ``most`` are needed, or where it is not known.
        """
