"""What a section of the report is: a name, a share of the time, and a function that yields rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Cell = str | int | float | None
"""A value of a table; None is something that was not measured."""


@dataclass(frozen=True)
class Row:
    """One line of a section's table.

    Attributes
    ----------
    cells : mapping of str to Cell
        By column, with the unit in its name.
    problem : str
        What does not hold in this line; empty where all does.
    """

    cells: Mapping[str, Cell]
    problem: str = ""


@dataclass
class Deadline:
    """A moment that work is to end by.

    Attributes
    ----------
    seconds : float
        From now.
    now : callable
        The clock, in seconds.
    """

    seconds: float
    now: Callable[[], float] = time.monotonic
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = self.now() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - self.now())

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.left == 0

    def each(self, what: list[str]) -> Iterator[str | Row]:
        """Yield one of some names after the other while there is time, then a row that names those left."""
        for number, name in enumerate(what):
            if self.passed:
                left = what[number:]
                named = ", ".join(left[:6]) + (", ..." if len(left) > 6 else "")
                yield Row({}, f"out of time with {len(left)} of {len(what)} left: {named}; give more --minutes")
                return
            yield name


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes
    ----------
    name : str
        On the command line.
    title : str
        On the page.
    share : float
        How much of the time it may take, beside the shares of the others.
    rows : callable
        Given the device and the deadline, yields rows; what it raises is the section's failure, and no other's.
    """

    name: str
    title: str
    share: float
    rows: Callable[[str, Deadline], Iterator[Row]]
