"""Runs sections one after the other within a time, each failing alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.utils.errors import BenchError, one_line
from tools.gpu.section import Deadline, Row, Section

LEAST_SECONDS = 5.0
"""With less time left a section is not begun: to start a process and load torch takes about as long."""


class Failed(Exception):  # noqa: N818 - it is a finding about a section
    """A section ended before its last row; says why in one line."""


Perform = Callable[[Section, str, float, Callable[[Row], None]], float | None]
"""Runs a section on a device for at most so many seconds, hands on each row as it comes, and returns the joules the
card took, or None if nobody tells; raises :class:`Failed`."""


@dataclass(frozen=True)
class Outcome:
    """What became of a section.

    Attributes
    ----------
    state : str
        ``failed`` if it ended early or a row has a problem; ``not run`` if there was no time left to begin it.
    seconds : float
        That it took.
    joules : float or None
        That the card took meanwhile; None if nobody tells.
    reason : str
        Why it failed or was not run, in one line.
    """

    section: Section
    state: Literal["passed", "failed", "not run"]
    seconds: float
    rows: tuple[Row, ...] = ()
    joules: float | None = None
    reason: str = ""


def run_sections(
    sections: Sequence[Section],
    device: str,
    *,
    seconds: float,
    perform: Perform,
    told: Callable[[Outcome], None] = lambda outcome: None,
    now: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """Return what became of every section.

    A section may take the part of the remaining time that its share is of the remaining shares, so that what one
    leaves over goes to those behind it.

    Parameters
    ----------
    seconds : float
        For all sections together.
    told : callable
        Given each outcome as it is there.
    """
    whole, outcomes = Deadline(seconds, now), []
    for number, section in enumerate(sections):
        if whole.left < LEAST_SECONDS:
            outcome = Outcome(section, "not run", 0.0, reason=f"{seconds:.0f} s were over; give more --minutes")
        else:
            shares = sum(later.share for later in sections[number:])
            outcome = _run(section, device, whole.left * section.share / shares, perform, now)
        outcomes.append(outcome)
        told(outcome)
    return outcomes


def _run(section: Section, device: str, seconds: float, perform: Perform, now: Callable[[], float]) -> Outcome:
    start, rows, joules, reason = now(), list[Row](), None, ""
    try:
        joules = perform(section, device, seconds, rows.append)
    except Failed as failure:
        reason = str(failure)
    problems = [row.problem for row in rows if row.problem]
    if not reason and problems:
        reason = problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
    if not reason and not rows:
        reason = "it measured nothing"
    return Outcome(section, "failed" if reason else "passed", now() - start, tuple(rows), joules, reason)


def perform_here(section: Section, device: str, seconds: float, keep: Callable[[Row], None]) -> None:
    """Run a section in this process; a :data:`Perform` that knows of no joules."""
    try:
        for row in section.rows(device, Deadline(seconds)):
            keep(row)
    except Exception as error:
        raise Failed(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Return what went wrong in one line, with the kind of an error that is not the user's."""
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {one_line(error)}"
