"""Classes that arrive in sessions, and what may be kept from one to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from bench.core.protocols import Condition
from bench.core.task import Budget
from bench.utils.errors import BenchError


@dataclass(frozen=True, kw_only=True)
class ClassSessions:
    """Sizes of the sessions, Base-B Inc-I; a base of recipes.

    Attributes
    ----------
    base : int
        Classes of session 0; 0 takes ``increment``.
    increment : int or None
        None takes a tenth of the classes from 50 up (Inc10 for 100 classes), a fifth (at least 2) below.
    """

    base: Annotated[int, Ge(0)] = 0
    increment: Annotated[int, Ge(1)] | None = None

    def sizes(self, n: int, *, dataset: str) -> dict[str, int]:
        """Return base, increment and number of sessions for ``n`` classes; a smaller last session is said.

        Raises
        ------
        BenchError
            If there are fewer classes than the base, or fewer than two in session 0.
        """
        if self.base > n:
            raise BenchError(f"incremental.base={self.base} but data set {dataset} has {n} classes; lower it")
        increment = self.increment or (n // 10 if n >= 50 else max(2, n // 5))
        first = self.base or increment
        if first < 2:
            raise BenchError(
                "the first session needs at least two classes; set incremental.base=2 or a larger increment"
            )
        left = max(0, n - first)
        said = {"base": self.base, "increment": increment, "sessions": 1 + -(-left // increment)}
        return said | ({"last_increment": left % increment} if left % increment else {})


def arrivals(
    order: Sequence[int], condition: Condition
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]:
    """Yield of each session its new classes, all classes so far, and what the notes say of that."""
    start, end = 0, condition["base"] or condition["increment"]
    while start < len(order):
        new = tuple(order[start:end])
        notes: dict[str, Any] = {"new_classes": list(new)}
        if start and len(new) < condition["increment"]:
            notes["smaller_session"] = f"{len(new)} classes were left for an increment of {condition['increment']}"
        yield new, tuple(order[:end]), notes
        start, end = end, end + condition["increment"]


@dataclass(frozen=True, kw_only=True)
class ExemplarBudget:
    """What may be carried to the next session; a base of recipes.

    Attributes
    ----------
    exemplars : int or None
        Budget over all classes together; None is no limit. It counts where neither of the next two is given.
    exemplars_per_class : int or None
        Budget of each class by itself.
    budget_bytes : int or None
        Budget of all that is carried to the next session, so that methods that keep exemplars and methods that keep
        statistics compare at equal memory: vectors and labels of exemplars, statistics and weights. Methods with
        exemplars keep as many, evenly by class, as fit beside their weights. What a method carries is measured after
        each session (``carried_bytes`` in the record's details), and a method whose statistics or weights alone are
        more is marked ``over_budget`` there and in reports.
    """

    exemplars: Annotated[int, Ge(0)] | None = 2000
    exemplars_per_class: Annotated[int, Ge(0)] | None = None
    budget_bytes: Annotated[int, Ge(1)] | None = None

    def limit(self) -> dict[str, Any]:
        """Return the limit that counts, by the name of its parameter; an error if two are given."""
        if self.exemplars_per_class is not None and self.budget_bytes is not None:
            raise BenchError("incremental.exemplars_per_class and incremental.budget_bytes exclude each other; set one")
        if self.budget_bytes is not None:
            return {"budget_bytes": self.budget_bytes}
        if self.exemplars_per_class is not None:
            return {"exemplars_per_class": self.exemplars_per_class}
        return {"exemplars": self.exemplars}


def budget_of(condition: Condition) -> Budget:
    """Return the budget that a condition says."""
    return Budget(
        items=condition.get("exemplars"),
        per_class=condition.get("exemplars_per_class"),
        bytes=condition.get("budget_bytes"),
    )
