"""What is told of a run while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results.run_folder import Files

Step = Callable[[str, int], None]
"""Told what has begun, or "", and how many cells were finished."""


@dataclass(frozen=True)
class Began:
    """A cell has begun."""

    cell: str
    what: str


@dataclass(frozen=True)
class Finished:
    """A cell is finished."""

    cell: str
    files: Files
