"""Seconds and bytes of methods on a task of n images, C classes and d dimensions.

    python -m tools.growth --items 100000 --classes 1000 --dimension 512 --methods slda,tip-adapter

A task is made up: unit vectors around centres of their classes, a text vector a class, and no memory beside the images.
Each method is measured in a process of its own. Seconds are of its processor, bytes are what the process held
more than before it built, and of these what the state takes. Nothing is said about accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import METHODS
from bench.core.state_bytes import nbytes
from bench.core.task import Task
from bench.cost import peak_memory
from bench.functional.classwise import normalise
from bench.utils.errors import BenchError, one_line
from bench.utils.random import Stream
from tools.arguments import names_of, positive

CLOSED_FORM = (
    "protonet",
    "simplecil",
    "slda",
    "gda",
    "klda",
    "ranpac",
    "fecam",
    "proker",
    "tip-adapter",
    "tip-x",
    "ape",
)
"""What is built without gradient steps, and not by looking up items alone."""
QUERIES = 1000
MIB = 1 << 20

Size = tuple[int, int, int]


def task(n: int, classes: int, d: int) -> Task:
    """Return a task of n labelled images."""
    draws = Stream(0).child("growth", n, classes, d)
    centres = torch.from_numpy(draws.child("centres").numpy().standard_normal((classes, d), dtype=np.float32))
    columns = torch.arange(n) % classes
    x = torch.from_numpy(draws.child("images").numpy().standard_normal((n, d), dtype=np.float32))
    # In place, so that little more than the images is held when the measurement begins.
    for rows, at in zip(x.split(4096), columns.split(4096), strict=True):
        rows.copy_(normalise(centres[at] + 1.5 * rows))
    names = tuple(f"class {c}" for c in range(classes))
    ids = np.array([f"image {i}" for i in range(n)])
    texts = np.array([f"text {c}" for c in range(classes)])
    moved = normalise(
        centres + torch.from_numpy(draws.child("texts").numpy().standard_normal((classes, d), dtype="f4"))
    )
    return Task(
        classes=tuple(range(classes)),
        class_names=names,
        support=Features(x, columns, ids, names),
        memory=Memory.empty(d),
        prompts=Features(moved, torch.arange(classes), texts, names),
    )


def queries_of(given: Task) -> Tensor:
    """Return 1000 queries near the first images of a task, [1000, d]; of fewer images each has several."""
    lap, row = (f(torch.arange(QUERIES), len(given.support)) for f in (torch.floor_divide, torch.remainder))
    return normalise(given.support.x[row] + 0.1 + 0.05 * lap.unsqueeze(1))


def measured(name: str, size: Size, short: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return seconds to build and to score, the most bytes held while building, and the state's."""
    entry = METHODS.get(name)
    method = entry.cls(**{**entry.preset, **(short or {})})
    given = task(*size)
    queries = queries_of(given)
    peak_memory.reset()
    before, start = peak_memory.cpu_peak() or 0, time.process_time()
    state = method.build(given, rng=Stream(0))
    built, peak = time.process_time() - start, (peak_memory.cpu_peak() or 0) - before
    start = time.process_time()
    with torch.no_grad():
        method.score(state, queries)
    scored = time.process_time() - start
    return {"method": name, "size": size, "build": built, "score": scored, "peak": peak, "state": nbytes(state)}


def alone(
    names: Sequence[str],
    sizes: Sequence[Size],
    limit: int,
    short: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return what was measured of methods, each in a process of its own, where a size took so many seconds at most.

    Seconds are of the processor; the clock, which other work may hold up, has twenty times as many for all together.

    Parameters
    ----------
    short : mapping of str to dict, optional
        Settings by method.
    """
    command = [sys.executable, "-m", "tools.growth", "--alone", ",".join(names), "--sizes", json.dumps(sizes)]
    command += ["--limit", str(limit), "--short", json.dumps(short or {})]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    where = Path(__file__).resolve().parent.parent
    most = 20 * limit * len(sizes) * len(names)
    try:
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=most)
        out = done.stdout
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            print(f"the measurement ended before its end: {last}", file=sys.stderr, flush=True)
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


class _Late(Exception):  # noqa: N818 - it is a finding
    """A measurement took more of the processor than it may."""


def _in_processes(
    names: Sequence[str], sizes: Sequence[Size], limit: int, short: Mapping[str, Mapping[str, Any]]
) -> None:
    """Measure methods one after the other, each size in a copy of this process, which has imported everything.

    So no size is given the memory that another gave back. Where the first size does not end, the others are left out.
    """
    for name in names:
        METHODS.get(name)
        for size in sizes:
            child = os.fork()
            if not child:
                try:
                    _measure_one(name, size, limit, short.get(name, {}))
                    os._exit(0)
                except (_Late, BenchError) as reason:
                    print(f"{name} {size}: {one_line(reason)}", file=sys.stderr, flush=True)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if status and size == sizes[0]:
                break


def _measure_one(name: str, size: Size, limit: int, short: Mapping[str, Any]) -> None:
    """Print a line of JSON; raise if it does not end within so many seconds of the processor."""

    def late(*_: object) -> None:
        raise _Late

    signal.signal(signal.SIGPROF, late)
    # What is imported and allocated once is no part of what is measured.
    measured(name, (30, 3, size[2]), short)
    signal.setitimer(signal.ITIMER_PROF, limit)
    found = measured(name, size, short)
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(json.dumps(found), flush=True)


def beside(one: dict[str, Any]) -> float:
    """Return the MiB that a measurement held at most beside its state."""
    return max(0, one["peak"] - one["state"]) / MIB


def whole(one: dict[str, Any]) -> float:
    """Return the most bytes a measurement held, its state included."""
    return float(max(one["peak"], one["state"]))


def largest(names: Sequence[str], size: Size, limit: int) -> str:
    """Return a table of one size."""
    rows = ["| method | build | score | state | beside it |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in names:
        for one in alone([name], [size], limit) or [None]:
            if one is None:
                rows.append(f"| `{name}` | more than {limit} s, or than there is memory | | | |")
                continue
            seconds = f"{one['build']:.1f} s | {one['score']:.1f} s"
            rows.append(f"| `{name}` | {seconds} | {one['state'] / MIB:.0f} MiB | {beside(one):.0f} MiB |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", help="names, by comma; by default those in closed form")
    parser.add_argument("--items", type=positive, default=100_000)
    parser.add_argument("--classes", type=positive, default=1000)
    parser.add_argument("--dimension", type=positive, default=512)
    parser.add_argument("--limit", type=positive, default=600, help="processor seconds a method")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--short", type=json.loads, default={}, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.alone:
        torch.set_num_threads(1)
        _in_processes(given.alone.split(","), [tuple(size) for size in given.sizes], given.limit, given.short)
        return
    size = given.items, given.classes, given.dimension
    names = CLOSED_FORM if given.methods is None else names_of(parser, given.methods, METHODS.names())
    print(largest(names, size, given.limit))


if __name__ == "__main__":
    main()
