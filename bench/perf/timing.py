"""Seconds of things that are compared: taken in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def seconds(run: Callable[[], Any], device: str) -> float:
    """Return the seconds of one call; on a GPU between two events of the device."""
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def in_turn(
    sides: Mapping[str, Callable[[], Any]], device: str, *, rounds: int = 3, at_least: float = 0.3
) -> dict[str, float]:
    """Return the median seconds of each side.

    Parameters
    ----------
    rounds : int
        Fewest timed calls of each side, after one that is not timed.
    at_least : float
        Seconds that the quickest side is called for, up to ten times as many rounds.
    """
    for run in sides.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    while _more(taken, rounds, at_least):
        for name, run in sides.items():
            taken[name].append(seconds(run, device))
    return {name: statistics.median(times) for name, times in taken.items()}


def _more(taken: Mapping[str, list[float]], rounds: int, at_least: float) -> bool:
    done = min(len(times) for times in taken.values())
    return done < rounds or (done < 10 * rounds and min(sum(times) for times in taken.values()) < at_least)
