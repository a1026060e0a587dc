"""Where the cost goes: seconds, FLOPs and peak memory by phase, each second and each FLOP counted once.

Counting FLOPs slows every operation by microseconds, so it is done sparingly. Where the same work is done over and
over (the batches of a training, the blocks of queries) the first of its kind is counted and the others are charged
the same; see :class:`Repeats`. What methods share and do all the time is charged what it is known to take; see
:func:`counted_as`. Searches are charged by formula. What is left runs once a cell, and its seconds hold the counting:
5 to 7 microseconds an operation in a loop of one operation, 10 to 30 where many take turns. The meter's own reading of
peaks is in no phase.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from time import process_time
from typing import Any, TypeVar

import torch

from bench.cost import peak_memory
from bench.cost.flops import Counter
from bench.cost.kept import idle_bytes
from bench.cost.spent import Spent

PHASES = ("train", "build", "retrieve", "score")
"""The phases a method's work is divided into."""

KINDS = ("product", "elementwise", "formula")
"""How FLOPs are known: counted by torch's operations (see :mod:`bench.cost.flops`), or by a formula."""

T = TypeVar("T")

_Reading = tuple[float, int, int]
"""Seconds, FLOPs of products, and elementwise ones."""


@dataclass(eq=False)
class _Phase:
    """A phase that is open: what had been read when it began, and what the phases within it took."""

    name: str
    start: _Reading
    inner: _Reading = (0.0, 0, 0)

    def whole(self, now: _Reading) -> _Reading:
        """Return what it has taken, with all within it."""
        return now[0] - self.start[0], now[1] - self.start[1], now[2] - self.start[2]

    def own(self, now: _Reading) -> _Reading:
        """Return what it has taken itself."""
        all_ = self.whole(now)
        return all_[0] - self.inner[0], all_[1] - self.inner[1], all_[2] - self.inner[2]

    def add_inner(self, spent: _Reading) -> None:
        """Note what a phase within it took."""
        self.inner = self.inner[0] + spent[0], self.inner[1] + spent[1], self.inner[2] + spent[2]


@dataclass(frozen=True)
class Work:
    """What a piece of work cost.

    Attributes
    ----------
    seconds, processor_seconds : float
    flops : (int, int) or None
        Of products, and elementwise; None where they were not counted.
    """

    seconds: float
    processor_seconds: float
    flops: tuple[int, int] | None


class Meter:
    """Adds up cost by phase, exclusively: what an inner phase costs is not counted again in the outer one.

    Attributes
    ----------
    seconds : dict
        Seconds by phase.
    flops : dict
        FLOPs by phase and kind.
    cpu_peaks, gpu_peaks : dict
        The largest number of bytes by phase; a phase whose peak is not known is not in it.
    unknown : set
        Phases in which something ran whose FLOPs nobody knows.
    joules : float or None
        Energy of all phases together.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.flops: dict[tuple[str, str], int] = defaultdict(int)
        self.cpu_peaks: dict[str, int] = {}
        self.gpu_peaks: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.joules: float | None = None
        self.processor_seconds = 0.0
        self._counter = Counter()
        self._paused = True
        self._open: list[_Phase] = []
        self._aside = 0.0
        """Seconds that the meter itself took inside phases."""
        self._joules_before: float | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what the block costs under ``name``."""
        self._note_peaks()
        self._open.append(_Phase(name, self._read()))
        try:
            yield
        finally:
            self._note_peaks()
            now = self._read()
            ended = self._open.pop()
            seconds, products, elementwise = ended.own(now)
            self.seconds[name] += seconds
            self.flops[name, "product"] += int(products)
            self.flops[name, "elementwise"] += int(elementwise)
            if self._open:
                self._open[-1].add_inner(ended.whole(now))

    @property
    def open_phase(self) -> str | None:
        """The phase of training or building that is open; None in all others."""
        name = self._open[-1].name if self._open else None
        return name if name in ("train", "build") else None

    def add(self, name: str, seconds: float, processor_seconds: float) -> None:
        """Charge seconds that were spent before, on behalf of everyone (a shared retrieval)."""
        self.seconds[name] += seconds
        self.processor_seconds += processor_seconds

    def measured(self, work: Callable[[], T]) -> tuple[T, Work]:
        """Return what ``work`` makes, and what it cost; it is charged as any other."""
        counted, (start, *before), busy = self.counts, self._read(), process_time()
        made = work()
        (end, *after), processor = self._read(), process_time() - busy
        products, elementwise = (int(b - a) for a, b in zip(before, after, strict=True))
        return made, Work(end - start, processor, (products, elementwise) if counted else None)

    def charge_again(self, work: Work) -> bool:
        """Charge the open phase what somebody else's work cost; return False where that is not known of it."""
        if not self._open or (self.counts and work.flops is None):
            return False
        self.add(self._open[-1].name, work.seconds, work.processor_seconds)
        if self.counts and work.flops is not None:
            self._counter.products += work.flops[0]
            self._counter.elementwise += work.flops[1]
        return True

    def add_flops(self, name: str | None, flops: int | None) -> None:
        """Charge FLOPs by formula; None for an unknown number. Without a name the open phase is charged."""
        phase = name or (self._open[-1].name if self._open else None)
        if phase is None:
            return
        if flops is None:
            self.unknown.add(phase)
        else:
            self.flops[phase, "formula"] += flops

    def phase_flops(self, name: str) -> int | None:
        """Return all FLOPs of a phase; None if something in it is not known."""
        return None if name in self.unknown else sum(self.flops.get((name, kind), 0) for kind in KINDS)

    def spent(self) -> Spent:
        """Return what was spent so far, the phases that are open included."""
        self._note_peaks()
        seconds, flops, now = dict(self.seconds), dict(self.flops), self._read()
        inner = (0.0, 0, 0)
        for one in reversed(self._open):
            # What is open inside has not been handed to the phase around it yet.
            own, products, elementwise = (all_ - part for all_, part in zip(one.own(now), inner, strict=True))
            seconds[one.name] = seconds.get(one.name, 0.0) + own
            for kind, count in (("product", products), ("elementwise", elementwise)):
                flops[one.name, kind] = flops.get((one.name, kind), 0) + int(count)
            inner = one.whole(now)
        joules = self.joules
        if self._joules_before is not None:
            joules = (joules or 0.0) + (peak_memory.gpu_joules() or self._joules_before) - self._joules_before
        return Spent.of(seconds, flops, self.cpu_peaks, self.gpu_peaks, self.unknown, joules)

    def charge(self, spent: Spent) -> None:
        """Charge what an earlier process spent on the same work, and did not finish."""
        for name, seconds in spent.seconds.items():
            self.seconds[name] += seconds
        for name, kinds in spent.flops.items():
            for kind, count in kinds.items():
                self.flops[name, kind] += count
        for known, peaks in ((self.cpu_peaks, spent.cpu_peaks), (self.gpu_peaks, spent.gpu_peaks)):
            for name, peak in peaks.items():
                known[name] = max(known.get(name, 0), peak)
        self.unknown |= set(spent.unknown)
        if spent.joules is not None:
            self.joules = (self.joules or 0.0) + spent.joules

    def columns(self) -> dict[str, Any]:
        """Return what goes into the record."""
        by_kind = {kind: sum(n for (_, k), n in self.flops.items() if k == kind) for kind in KINDS}
        return {
            **{f"{name}_seconds": self.seconds.get(name, 0.0) for name in PHASES},
            **{f"{name}_flops": self.phase_flops(name) for name in PHASES},
            "elementwise_flops": by_kind["elementwise"],
            "formula_flops": by_kind["formula"],
            **{f"{name}_peak_bytes": self.cpu_peaks.get(name) for name in PHASES},
            **{f"{name}_peak_gpu_bytes": self.gpu_peaks.get(name) for name in PHASES},
            "gpu_joules": self.joules,
            "processor_seconds": self.processor_seconds,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count FLOPs, processor time and energy inside the block."""
        before = self._joules_before = peak_memory.gpu_joules()
        busy = process_time()
        with self._counting():
            yield
        self.processor_seconds += process_time() - busy
        self._joules_before, after = None, peak_memory.gpu_joules()
        if before is not None and after is not None:
            self.joules = (self.joules or 0.0) + after - before

    @property
    def counts(self) -> bool:
        """Whether torch's operations are being counted now."""
        return not self._paused

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self._paused = False
        try:
            with self._counter:
                yield
        finally:
            self._paused = True

    @contextmanager
    def counted_as(self, products: int = 0, elementwise: int = 0) -> Iterator[None]:
        """Charge torch's operations in the block by these numbers, and run them at their full speed."""
        if self._paused:
            yield
            return
        self._counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._paused = True
        try:
            yield
        finally:
            self._counter.__enter__()  # type: ignore[no-untyped-call]
            self._paused = False
        self._counter.products += products
        self._counter.elementwise += elementwise

    @contextmanager
    def counted_into(self, known: dict[Hashable, tuple[int, int]], key: Hashable) -> Iterator[None]:
        """Count the block, and put what it took, products and elementwise, into ``known``."""
        products, elementwise = self._counter.products, self._counter.elementwise
        yield
        known[key] = self._counter.products - products, self._counter.elementwise - elementwise

    def _read(self) -> tuple[float, int, int]:
        return _now() - self._aside, self._counter.products, self._counter.elementwise

    def _note_peaks(self) -> None:
        """Give the peaks since the last change of phases to the phase that is open, and begin anew."""
        # The clock is read before and after, so that the device is waited for at the expense of the open phase.
        start = _now()
        if self._open:
            name = self._open[-1].name
            peaks = (self.cpu_peaks, peak_memory.cpu_peak(), "cpu"), (self.gpu_peaks, peak_memory.gpu_peak(), "cuda")
            for known, peak, device in peaks:
                if peak is not None:
                    known[name] = max(known.get(name, 0), peak - idle_bytes(device))
        if not peak_memory.reset():
            self.cpu_peaks.clear()
        self._aside += _now() - start


class Repeats:
    """Work that is done again and again in the same shapes: counted the first time, charged the same afterwards.

    What is charged by formula inside (a search) is charged every time, since it costs nothing to do so.

    Examples
    --------
    >>> steps = Repeats()
    >>> for rows in batches:  # doctest: +SKIP
    ...     with steps.like(len(rows)):
    ...         step(rows)
    """

    def __init__(self, known: Mapping[Hashable, tuple[int, int]] | None = None) -> None:
        self._known: dict[Hashable, tuple[int, int]] = dict(known or {})

    @property
    def known(self) -> Mapping[Hashable, tuple[int, int]]:
        """What a block of each key is charged, products and elementwise."""
        return self._known

    def like(self, key: Hashable) -> AbstractContextManager[None]:
        """Count the block, or charge what the first block of the same key took."""
        meter = _current.get()
        if meter is None or not meter.counts:
            return nullcontext()
        known = self._known.get(key)
        return meter.counted_into(self._known, key) if known is None else meter.counted_as(*known)


_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


def _now() -> float:
    # Kernels on a GPU run behind the clock's back, so the device is waited for.
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def metered(meter: Meter) -> Iterator[Meter]:
    """Make ``meter`` the one that :func:`phase` and the charges report to inside the block."""
    token = _current.set(meter)
    try:
        with meter.running():
            yield meter
    finally:
        _current.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count a block under ``name`` in the meter in force, if there is one."""
    meter = _current.get()
    if meter is None:
        yield
    else:
        with meter.phase(name):
            yield


def counted_as(products: int = 0, elementwise: int = 0) -> AbstractContextManager[None]:
    """Charge a block of torch's operations what they are known to take, and run them at their full speed.

    Parameters
    ----------
    products, elementwise : int
        The FLOPs that :class:`bench.cost.flops.Counter` would count in the block.
    """
    meter = _current.get()
    return nullcontext() if meter is None else meter.counted_as(products, elementwise)


def spent_so_far() -> Spent:
    """Return what the meter in force has charged, the open phases included; nothing without a meter."""
    meter = _current.get()
    return Spent() if meter is None else meter.spent()


def charge_spent(spent: Spent) -> None:
    """Charge the meter in force, if there is one, what an earlier process spent on the same work."""
    meter = _current.get()
    if meter is not None:
        meter.charge(spent)


def phase_of_search() -> str:
    """Return what a search counts as: ``retrieve`` while queries are scored, else a part of training or building."""
    meter = _current.get()
    return (meter.open_phase if meter is not None else None) or "retrieve"


def charge(name: str, seconds: float, processor_seconds: float) -> None:
    """Charge seconds to a phase of the meter in force, if there is one."""
    meter = _current.get()
    if meter is not None:
        meter.add(name, seconds, processor_seconds)


def meter_in_force() -> Meter | None:
    """Return the meter that :func:`phase` and the charges report to; None if there is none."""
    return _current.get()


def charge_flops(flops: int | None, name: str | None = None) -> None:
    """Charge FLOPs by formula to a phase (the open one without a name); None for an unknown number."""
    meter = _current.get()
    if meter is not None:
        meter.add_flops(name, flops)


def uncounted() -> AbstractContextManager[None]:
    """Leave torch's operations inside the block uncounted: they are charged by formula, or are not the method's."""
    return counted_as()
