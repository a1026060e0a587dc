"""Forked children that are killed at a moment of their processor time or before a call that writes."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.learning.checkpoint import CheckpointWriter

WRITES = ((os, "replace"), (os, "fsync"), (os, "rename"), (Path, "replace"), (Path, "touch"), (Path, "write_bytes"))
"""The calls by which files are written, before which a child is killed."""


class Broken(AssertionError):  # noqa: N818 - it is a finding
    """What must not be: a result that is lost or changed, or a file that is left behind."""


def of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def in_child(work: Callable[[], object]) -> None:
    """Do something in a forked child, as a command does in a process of its own; a failure is one here."""
    if killed(work, None):
        raise Broken("a command that nobody killed did not end")


def killed(work: Callable[[], object], moment: tuple[str, float] | None) -> bool:
    """Do something in a forked child that is killed at a moment; return whether it was before it ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if moment is not None:
                _arm(*moment)
                work = _unchanged(work)
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise Broken("a command that should go on failed")
    return os.WIFSIGNALED(status)


def _unchanged(work: Callable[[], object]) -> Callable[[], object]:
    return lambda: often(work)


def often(work: Callable[[], object]) -> object:
    """Do something whose trainings leave a checkpoint after each epoch."""
    CheckpointWriter.due = property(lambda self: self._path is not None)  # type: ignore[assignment,method-assign]
    return work()


def _arm(what: str, when: float) -> None:
    """Have this process killed: after some processor time, or before a call of a kind."""
    if what == "moment":
        # The signal of this timer ends a process that does not care for it, as SIGKILL does.
        signal.setitimer(signal.ITIMER_PROF, when)
        return
    seen = [0]

    def before() -> None:
        if seen[0] == int(when):
            os.kill(os.getpid(), signal.SIGKILL)
        seen[0] += 1

    _watch(what, before)


def _watch(what: str, before: Callable[[], None]) -> None:
    """Call something before every call of a kind."""

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def first(*arguments: Any, **named: Any) -> Any:
            before()
            return call(*arguments, **named)

        return first

    if what == "step":
        for optimiser in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
            optimiser.step = watched(optimiser.step)  # type: ignore[method-assign]
        return
    for owner, name in WRITES:
        if what == f"{owner.__name__}.{name}":
            setattr(owner, name, watched(getattr(owner, name)))


def counted(work: Callable[[], object], counts: Path) -> None:
    """Do something and write how often it made each of the calls."""
    seen: Counter[str] = Counter()

    def counter(what: str) -> Callable[[], None]:
        return lambda: seen.update([what])

    kinds = [f"{owner.__name__}.{name}" for owner, name in WRITES] + ["step"]
    for what in kinds:
        _watch(what, counter(what))
    often(work)
    told = "".join(f"{what} {seen[what]}\n" for what in kinds)
    with open(counts, "w") as stream:
        stream.write(told)
