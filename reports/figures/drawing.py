"""Draws all figures of a report, on several processors where there are some."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import FIGURES, FigureKind, Part
from bench.reports.figures.style import Figure, Format, seaborn
from bench.reports.utils.note import Note

Drawn = Mapping[str, list[Figure | Note]]
"""By the name of its kind, what each yields."""

_BYTES = 4
"""Of a number in a pipe, which are read together or not at all."""
_MOST = 8192
"""Numbers that a pipe holds before anybody reads; each stands for the parts that are so many apart."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Parts of kinds of figures, which several processes draw.

    Attributes
    ----------
    named : list of (str, callable)
        The kind's name and what draws the part.
    formats : sequence of str
        The files that are made beside the SVG.
    turns : int or None
        The pipe from which processes take numbers of parts; None where this process alone draws.
    found : dict of int to list
        By the number of a part, what other processes drew so far, and this one.
    readers : list of Thread
        They take over what other processes draw.
    """

    named: list[tuple[str, Part]]
    formats: Sequence[Format]
    turns: int | None
    found: dict[int, list[Figure | Note]]
    readers: list[Thread]

    def draw(self) -> None:
        """Draw what nobody has begun."""
        parts = [part for _, part in self.named]
        for number in range(len(parts)) if self.turns is None else _taken(self.turns, len(parts)):
            self.found[number] = _finished(parts[number], self.formats)

    def drawn(self) -> Drawn:
        """Return all, when the others are done; what they did not get to the end of is drawn here."""
        for reader in self.readers:
            reader.join()
        drawn: dict[str, list[Figure | Note]] = {name: [] for name, _ in self.named}
        for number, (name, part) in enumerate(self.named):
            drawn[name] += self.found[number] if number in self.found else _finished(part, self.formats)
        return drawn


@contextmanager
def batch(
    analysis: Analysis, kinds: Iterable[FigureKind], processes: int, formats: Sequence[Format]
) -> Iterator[Batch]:
    """Yield the parts of some kinds, which other processes begin to draw; at the end of the block these are gone.

    The others, beyond one, are forked, so that they have the analysis as it is: whatever figures share should have
    been computed. Each takes the next part that nobody has begun.
    """
    named = [(kind.name, part) for kind in kinds for part in kind.parts(analysis)]
    found: dict[int, list[Figure | Note]] = {}
    # What shows neighbours makes states again with torch, whose threads do not survive a fork.
    if processes < 2 or sys.platform != "linux" or analysis.galleries or not named:
        yield Batch(named, formats, None, found, [])
        return
    # Once for all, and not in each of them.
    seaborn()
    with ExitStack() as stack:
        fork = multiprocessing.get_context("fork")
        parts = [part for _, part in named]
        turns = stack.enter_context(_numbers(min(len(parts), _MOST)))
        others = range(min(processes - 1, len(parts)))
        readers = [stack.enter_context(_helper(fork, parts, turns, formats, found)) for _ in others]
        yield Batch(named, formats, turns, found, readers)


def early(analysis: Analysis, processes: int, formats: Sequence[Format]) -> AbstractContextManager[Batch]:
    """Return the batch of what is drawn from the predictions alone, so that it can be while all else is computed."""
    _ = analysis.detailed_groups, analysis.methods
    return batch(analysis, [kind for kind in FIGURES if kind.early], processes, formats)


def draw_all(
    analysis: Analysis, processes: int = 1, formats: Sequence[Format] = (), begun: Batch | None = None
) -> Drawn:
    """Return the figures, with their SVG and files of ``formats``, and the notes of every kind.

    What another process fails with, or does not get to the end of, is drawn here again, so that an error is the same
    however many there are.

    Parameters
    ----------
    analysis : Analysis
    processes : int
        How many draw.
    formats : sequence of str
    begun : Batch, optional
        What :func:`early` gave.

    Raises
    ------
    BenchError
        If a plug-in's figure fails.
    """
    kinds = [kind for kind in FIGURES if begun is None or not kind.early]
    with batch(analysis, kinds, processes, formats) as late:
        batches = [late] if begun is None else [late, begun]
        for one in batches:
            one.draw()
        drawn = {name: items for one in batches for name, items in one.drawn().items()}
    return {kind.name: drawn.get(kind.name, []) for kind in FIGURES}


def _finished(part: Part, formats: Sequence[Format]) -> list[Figure | Note]:
    return [item.finished(formats) if isinstance(item, Figure) else item for item in part()]


@contextmanager
def _numbers(count: int) -> Iterator[int]:
    """Yield a pipe from which each number below a count can be taken once, by whichever process comes first.

    A shared counter would need a file, and so a folder for it and room on the disk.
    """
    turns, filled = os.pipe()
    try:
        os.write(filled, b"".join(number.to_bytes(_BYTES, "little") for number in range(count)))
    finally:
        os.close(filled)
    try:
        yield turns
    finally:
        os.close(turns)


def _taken(turns: int, count: int) -> Iterator[int]:
    """Yield numbers below a count that no other process is given."""
    while number := os.read(turns, _BYTES):
        yield from range(int.from_bytes(number, "little"), count, _MOST)


@contextmanager
def _helper(
    fork: Any, parts: list[Part], turns: int, formats: Sequence[Format], found: dict[int, list[Figure | Note]]
) -> Iterator[Thread]:
    """Yield a thread that takes over what a process draws; at the end of the block both are gone."""
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_draw, args=(theirs, ours, parts, turns, formats), daemon=True)
    process.start()
    theirs.close()
    reader = Thread(target=_take, args=(ours, found), daemon=True)
    reader.start()
    try:
        yield reader
    finally:
        process.terminate()
        process.join()
        reader.join()
        ours.close()


def _draw(out: Connection, others: Connection, parts: list[Part], turns: int, formats: Sequence[Format]) -> None:
    """Draw what nobody else has begun and send it, until all is begun, something fails, or nobody listens."""
    # Ctrl-C reaches the process that started this one, which then ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    others.close()
    with suppress(Exception):
        for number in _taken(turns, len(parts)):
            out.send((number, _finished(parts[number], formats)))


def _take(source: Connection, found: dict[int, list[Figure | Note]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            number, items = source.recv()
            found[number] = items
