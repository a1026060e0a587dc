"""What a reader of files from outside is, to the tests that change its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes
    ----------
    make : callable
        Writes a good input into an empty folder.
    read : callable
        Reads it from there, writing into ``out`` below it at most, and returns what it found, as text.
    mutated : tuple of str
        Patterns of the files that are mutated, one of them a time.
    sealed : bool
        Whether what is read must be what was written.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], str]
    mutated: tuple[str, ...]
    sealed: bool = False
