"""Kills of every command that writes: nothing is lost, nothing is repeated, nothing is left behind.

    python -m tests.faults.kill --count 1000 [--seed 0] [--kind run]

A child is killed at a random moment of its processor time, or just before one of the calls by which files are written;
inside trainings, before a step of an optimiser. The same command then goes on in another child, until it is done, and
what it has made must be what an undisturbed one makes: all columns of the records but the unstable ones, all
predictions, all files of a pack and of a report, and no temporary file.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from tests.faults.children import Broken
from tests.faults.commands import KINDS
from tests.faults.harness import Harness
from tests.faults.together import PROCESSES, jobs_round

_EVERY = 90
"""Of so many kills one is of processes that work together, since each takes a start of three processes."""

_MOST_FAILURES = 20


def rounds(count: int, seed: int, kinds: list[str], folder: Path) -> Iterator[tuple[str, int | Broken]]:
    """Yield kinds, and numbers of kills or what was broken, until there are enough kills or too many failures."""
    rng = random.Random(seed)
    harnesses = {name: Harness(name, folder / name) for name in kinds if name in KINDS}
    together = [name for name in kinds if name in PROCESSES]
    done = turn = broken = 0
    while done < count and broken < _MOST_FAILURES:
        try:
            if together and (not harnesses or done >= _EVERY * (turn + 1)):
                name = together[turn % len(together)]
                turn += 1
                kills = jobs_round(folder / "together", rng, name)
            else:
                name = rng.choices(list(harnesses), [KINDS[one].often for one in harnesses])[0]
                kills = harnesses[name].round(rng, count - done)
        except Broken as found:
            broken += 1
            yield name, found
        else:
            done += kills
            yield name, kills


def main() -> None:
    """Kill so many times and say what of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS, *PROCESSES], action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pd.set_option("display.width", 200)
    kills: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="bench-killed-") as scratch:
        for name, came in rounds(given.count, given.seed, given.kind or [*KINDS, *PROCESSES], Path(scratch)):
            if isinstance(came, Broken):
                failures += 1
                print(f"after {sum(kills.values())} kills: {came}", flush=True)
            else:
                kills[name] += came
                print(f"{sum(kills.values())} of {given.count}", file=sys.stderr, flush=True)
    told = ", ".join(f"{number} of {name}" for name, number in sorted(kills.items()))
    end = f"{failures} failures" if failures else "nothing lost, nothing changed, nothing left behind"
    print(f"{sum(kills.values())} kills ({told}): {end}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
