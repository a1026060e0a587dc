"""Seconds and bytes of every method against the images n, the classes C and the dimensions d.

    python -m tools.growth                                     # a small task, and four times its n, C and d
    python -m tools.growth --closed-form --items 100000 --classes 1000 --dimension 512

A task is made up: unit vectors around centres of their classes, a text vector a class, and no memory beside the images.
Each method is measured in a process of its own. Seconds are of its processor, bytes are what the process held
more than before it built, and of these what the state takes. Nothing is said about accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.registry import METHODS
from bench.core.state_bytes import nbytes
from bench.core.task import Task
from bench.cost import peak_memory
from bench.functional.classwise import normalise
from bench.utils.random import Stream

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
_TOLD = 8 * MIB
"""Bytes from which on their growth is told."""

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


def measured(name: str, size: Size) -> dict[str, Any]:
    """Return seconds to build and to score, the most bytes held while building, and the state's."""
    entry = METHODS.get(name)
    method = entry.cls(**entry.preset)
    given = task(*size)
    queries = normalise(given.support.x[:QUERIES] + 0.1)
    peak_memory.reset()
    before, start = peak_memory.cpu_peak() or 0, time.process_time()
    state = method.build(given, rng=Stream(0))
    built, peak = time.process_time() - start, (peak_memory.cpu_peak() or 0) - before
    start = time.process_time()
    with torch.no_grad():
        method.score(state, queries)
    return {"build": built, "score": time.process_time() - start, "peak": peak, "state": nbytes(state)}


def alone(name: str, sizes: Sequence[Size], limit: float) -> list[dict[str, Any]]:
    """Return what a process of its own measured of a method, as far as it came within so many seconds."""
    command = [sys.executable, "-m", "tools.growth", "--alone", name, "--sizes", json.dumps(sizes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    where = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=limit)
        out = done.stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def curves(names: Sequence[str], base: Size, limit: float) -> str:
    """Return a table: a small task, and how many times as much four times its images, classes or dimensions take."""
    n, c, d = base
    sizes = [base, base, (4 * n, c, d), (n, 4 * c, d), (n, c, 4 * d)]
    rows = [
        f"| method | n={n}, C={c}, d={d}: build, score | state + beside | 4 n | 4 C | 4 d |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        # The first is for what is imported and allocated once.
        found = alone(name, sizes, limit)[1:]
        if not found:
            rows.append(f"| `{name}` | more than {limit:.0f} s, or not for such a task | | | | |")
            continue
        first = found[0]
        times = [
            f"{one['build'] / first['build']:.1f}, {one['score'] / first['score']:.1f}"
            # What is smaller drowns in what the process takes and gives back meanwhile.
            + (f"; {whole(one) / whole(first):.1f}" if whole(first) >= _TOLD else "")
            for one in found[1:]
        ]
        cells = [*times, *["-"] * (3 - len(times))]
        seconds = f"{first['build']:.2f} s, {first['score']:.2f} s"
        rows.append(
            f"| `{name}` | {seconds} | {first['state'] / MIB:.1f} + {beside(first):.0f} MiB | {' | '.join(cells)} |"
        )
    return "\n".join(rows)


def beside(one: dict[str, Any]) -> float:
    """Return the MiB that a measurement held at most beside its state."""
    return max(0, one["peak"] - one["state"]) / MIB


def whole(one: dict[str, Any]) -> float:
    """Return the most bytes a measurement held, its state included."""
    return float(max(one["peak"], one["state"]))


def largest(names: Sequence[str], size: Size, limit: float) -> str:
    """Return a table of one size."""
    rows = ["| method | build | score | state | beside it |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in names:
        for one in alone(name, [size], limit) or [None]:
            if one is None:
                rows.append(f"| `{name}` | more than {limit:.0f} s, or out of memory | | | |")
                continue
            seconds = f"{one['build']:.1f} s | {one['score']:.1f} s"
            rows.append(f"| `{name}` | {seconds} | {one['state'] / MIB:.0f} MiB | {beside(one):.0f} MiB |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", help="names, by comma; by default all that are no variants")
    parser.add_argument("--closed-form", action="store_true", help="those in closed form, at one size")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--limit", type=float, default=60, help="seconds of the clock a method")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.alone:
        torch.set_num_threads(1)
        for size in given.sizes:
            print(json.dumps(measured(given.alone, tuple(size))), flush=True)
        return
    size = given.items, given.classes, given.dimension
    plain = [name for name in METHODS.names() if not METHODS.get(name).preset and name != "sklearn"]
    names = given.methods.split(",") if given.methods else CLOSED_FORM if given.closed_form else plain
    print((largest if given.closed_form else curves)(names, size, given.limit))


if __name__ == "__main__":
    main()
