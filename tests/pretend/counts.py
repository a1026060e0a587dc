"""What a device was asked to do, by the line of the project that asked."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("bench", "methods", "scenarios", "tests")
_HANDED_ON = "bench/cost/flops.py"
"""Where operations are counted and handed on; who asked for them stands farther out."""
_HERE = {str(Path(__file__).with_name(f"{name}.py")) for name in ("counts", "device", "modes", "rules", "tensor")}


@dataclass
class Counts:
    """Launches, waits and copies by source line (``bench/functional/classwise.py:75``).

    Attributes
    ----------
    launches : Counter
        Kernels that were started. A view, an allocation or a copy is none.
    waits : Counter
        Times the host stood still until the device had an answer: a number or a tensor was read back, or the size of
        a result had to be known (masks, ``nonzero``, ``unique``, ``bincount``), or a decomposition was checked.
    copies : Counter
        Transfers between host and device, in either direction.
    """

    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)

    def totals(self) -> tuple[int, int, int]:
        """Return all launches, waits and copies."""
        return self.launches.total(), self.waits.total(), self.copies.total()

    @contextmanager
    def during(self) -> Iterator[Counts]:
        """Yield what is counted inside the block alone; complete when the block has ended."""
        before = Counts(self.launches.copy(), self.waits.copy(), self.copies.copy())
        inside = Counts()
        try:
            yield inside
        finally:
            inside.launches = self.launches - before.launches
            inside.waits = self.waits - before.waits
            inside.copies = self.copies - before.copies


def grown(small: Counts, large: Counts) -> dict[str, tuple[int, int]]:
    """Return the lines that launched, waited or copied more often in the larger problem, with both numbers.

    Work that is done once, however many rows there are, grows not at all; a loop over queries, classes or items shows
    here by its line.
    """
    found = {}
    for kind in ("launches", "waits", "copies"):
        one, two = getattr(small, kind), getattr(large, kind)
        found |= {f"{kind} at {line}": (one[line], two[line]) for line in two if two[line] > one[line]}
    return found


def source() -> str:
    """Return the innermost line of the project that is being executed."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = _in_project(frame.f_code.co_filename)
        if name is not None:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


@cache
def _in_project(filename: str) -> str | None:
    """Return a file's name in the project; None for libraries and for the pretend device itself."""
    path = Path(filename)
    if filename in _HERE or not path.is_relative_to(_ROOT):
        return None
    inside = path.relative_to(_ROOT)
    return inside.as_posix() if inside.parts[0] in _CODE and inside.as_posix() != _HANDED_ON else None
