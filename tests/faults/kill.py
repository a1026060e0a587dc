"""Kills of every command that writes: nothing is lost, nothing is repeated, nothing is left behind.

    python -m tests.faults.kill --count 1000 [--minutes 90] [--seed 0] [--kind run]

A child is killed at a random moment of its processor time, or just before one of the calls by which files are written;
inside trainings, before a step of an optimiser. The same command then goes on in another child, until it is done, and
what it has made must be what an undisturbed one makes: all columns of the records but the unstable ones, all
predictions, all files of a pack and of a report, and no temporary file.

Each kind has its share of the kills at any time, so that a form that is cut short covers all of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from tests.faults.children import Broken
from tests.faults.commands import KINDS
from tests.faults.harness import Harness
from tests.faults.together import PROCESSES, jobs_round

_MOST_FAILURES = 5


@dataclass
class Tally:
    """What was killed, by kind of command and by what it was about to do, and how often a kind was found broken."""

    kinds: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        failed = self.failures.total()
        end = f"{failed} failures" if failed else "nothing lost, nothing changed, nothing left behind"
        return f"{self.kinds.total()} kills ({_told(self.kinds)}; {_told(self.moments)}): {end}"

    def next_kind(self, kinds: list[str]) -> str | None:
        """Return the kind that is furthest behind its share; one that was broken often comes no more."""
        shares = {**{name: kind.share for name, kind in KINDS.items()}, **PROCESSES}
        left = [name for name in kinds if self.failures[name] < _MOST_FAILURES]
        return min(left, key=lambda name: (self.kinds[name] + 1) / shares[name], default=None)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{number} of {name}" for name, number in sorted(counts.items()))


def rounds(tally: Tally, count: int, seed: int, kinds: list[str], folder: Path) -> Iterator[str]:
    """Kill until there are enough kills, and yield what to say of each round."""
    rng = random.Random(seed)
    harnesses = {name: Harness(name, folder / name) for name in kinds if name in KINDS}
    while tally.kinds.total() < count and (name := tally.next_kind(kinds)) is not None:
        before, moments = time.monotonic(), Counter[str]()
        said = ""
        try:
            if name in PROCESSES:
                jobs_round(folder / "together", rng, name, moments)
            else:
                harnesses[name].round(rng, count - tally.kinds.total(), moments)
        except Broken as found:
            tally.failures[name] += 1
            said = f" BROKEN: {found}"
        tally.kinds[name] += moments.total()
        tally.moments.update(moments)
        took = time.monotonic() - before
        yield f"{tally.kinds.total()} of {count}: {moments.total()} of {name} in {took:.1f} s{said}"


def main() -> None:
    """Kill so many times and say what of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="End after so many, with what was done.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS, *PROCESSES], action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pd.set_option("display.width", 200)
    tally, end = Tally(), time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="bench-killed-") as scratch:
        for said in rounds(tally, given.count, given.seed, given.kind or [*KINDS, *PROCESSES], Path(scratch)):
            print(said, file=sys.stderr, flush=True)
            if time.monotonic() > end:
                break
    print(tally)
    sys.exit(bool(tally.failures.total()))


if __name__ == "__main__":
    main()
