"""Draws all figures of a report, on several processors where there are some."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from bench.reports.analysis import Analysis
from bench.reports.figures.registry import FIGURES, FigureKind
from bench.reports.figures.style import Figure
from bench.reports.utils.note import Note

Drawn = Mapping[str, list[Figure | Note]]
"""By the name of its kind, what each yields."""

_BYTES = 4
"""Of a number in a pipe, which are read together or not at all."""


def draw_all(analysis: Analysis, processes: int = 1) -> Drawn:
    """Return the figures and notes of every kind.

    Beyond one process the others are forked, so that they have the analysis as it is: whatever figures share should
    have been computed. Each takes the next kind that nobody has begun. What another process fails with, or does not
    get to the end of, is drawn here again, so that an error is the same however many there are.

    Raises
    ------
    BenchError
        If a plug-in's figure fails.
    """
    kinds = list(FIGURES)
    found: dict[int, list[Figure | Note]] = {}
    # What shows neighbours makes states again with torch, whose threads do not survive a fork.
    if processes > 1 and sys.platform == "linux" and not analysis.galleries:
        with ExitStack() as stack:
            fork = multiprocessing.get_context("fork")
            turns = stack.enter_context(_numbers(len(kinds)))
            readers = [stack.enter_context(_helper(fork, kinds, analysis, turns, found)) for _ in range(processes - 1)]
            for number in _taken(turns):
                found[number] = list(kinds[number](analysis))
            for reader in readers:
                reader.join()
    return {kind.name: found[n] if n in found else list(kind(analysis)) for n, kind in enumerate(kinds)}


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


def _taken(turns: int) -> Iterator[int]:
    """Yield numbers that no other process is given."""
    while number := os.read(turns, _BYTES):
        yield int.from_bytes(number, "little")


@contextmanager
def _helper(
    fork: Any, kinds: list[FigureKind], analysis: Analysis, turns: int, found: dict[int, list[Figure | Note]]
) -> Iterator[Thread]:
    """Yield a thread that takes over what a process draws; at the end of the block both are gone."""
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_draw, args=(theirs, ours, kinds, analysis, turns), daemon=True)
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


def _draw(out: Connection, others: Connection, kinds: list[FigureKind], analysis: Analysis, turns: int) -> None:
    """Draw what nobody else has begun and send it, until all is begun, something fails, or nobody listens."""
    # Ctrl-C reaches the process that started this one, which then ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    others.close()
    with suppress(Exception):
        for number in _taken(turns):
            out.send((number, list(kinds[number](analysis))))


def _take(source: Connection, found: dict[int, list[Figure | Note]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            number, items = source.recv()
            found[number] = items
