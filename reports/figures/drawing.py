"""Draws all figures of a report, on several processors where there are some."""

from __future__ import annotations

import multiprocessing
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
            turn = fork.Value("i", 0)
            readers = [stack.enter_context(_helper(fork, kinds, analysis, turn, found)) for _ in range(processes - 1)]
            for number in _turns(turn, len(kinds)):
                found[number] = list(kinds[number](analysis))
            for reader in readers:
                reader.join()
    return {kind.name: found[n] if n in found else list(kind(analysis)) for n, kind in enumerate(kinds)}


def _turns(turn: Any, count: int) -> Iterator[int]:
    """Yield numbers below a count that no process has been given."""
    while True:
        with turn.get_lock():
            number = turn.value
            turn.value += 1
        if number >= count:
            return
        yield number


@contextmanager
def _helper(
    fork: Any, kinds: list[FigureKind], analysis: Analysis, turn: Any, found: dict[int, list[Figure | Note]]
) -> Iterator[Thread]:
    """Yield a thread that takes over what a process draws; at the end of the block both are gone."""
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_draw, args=(theirs, ours, kinds, analysis, turn), daemon=True)
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


def _draw(out: Connection, others: Connection, kinds: list[FigureKind], analysis: Analysis, turn: Any) -> None:
    """Draw what nobody else has begun and send it, until all is begun, something fails, or nobody listens."""
    # Ctrl-C reaches the process that started this one, which then ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    others.close()
    with suppress(Exception):
        for number in _turns(turn, len(kinds)):
            out.send((number, list(kinds[number](analysis))))


def _take(source: Connection, found: dict[int, list[Figure | Note]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            number, items = source.recv()
            found[number] = items
