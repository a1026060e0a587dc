"""What a report has to say in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentence:
    """A sentence that a part of a report begins with."""

    text: str


@dataclass(frozen=True)
class Note:
    """A sentence about what a part of a report leaves out, and why."""

    text: str
