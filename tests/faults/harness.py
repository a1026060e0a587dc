"""Kills of one command, again and again, and a look at what comes of it."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tests.faults.children import Broken, counted, in_child, killed, of_children, often
from tests.faults.commands import KINDS, Kind, planned

_KILLS_IN_A_ROW = 12
"""How often a command is killed before it is left to end, unless it ends before."""

_SAID = {"moment": "at a moment", "step": "before a step"}


@dataclass(frozen=True)
class Harness:
    """Kills one kind of command in a folder of its own."""

    name: str
    folder: Path

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @cached_property
    def whole(self) -> tuple[Mapping[str, object], float, dict[str, int]]:
        """What an undisturbed command makes, its processor time, and how often it makes each of the calls."""
        place = self.folder / "whole"
        place.mkdir(parents=True)
        # What every run asks of the code is asked here, so that no child has to.
        planned(place)
        in_child(lambda: self.kind.prepare(place))
        counts = self.folder / "counts"
        before = time.process_time() + of_children()
        in_child(lambda: counted(lambda: self.kind.work(place), counts))
        seconds = time.process_time() + of_children() - before
        made = self.kind.made(place)
        if not made:
            raise Broken(f"{self.name} makes nothing")
        return made, seconds, {line.split()[0]: int(line.split()[1]) for line in counts.read_text().splitlines()}

    def round(self, rng: random.Random, most: int, moments: Counter[str]) -> None:
        """Kill a command again and again, let it end, and compare; count the kills by what they came before."""
        made, seconds, counts = self.whole
        place = self.folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        in_child(lambda: self.kind.prepare(place))
        before: Mapping[str, object] = {}
        while moments.total() < min(most, _KILLS_IN_A_ROW):
            moment = self._moment(rng, seconds, counts)
            if not killed(partial(self.kind.work, place), moment):
                break
            moments[_SAID.get(moment[0], "before a write")] += 1
            now = self._finished(place)
            old = (place / "old").read_text() if (place / "old").exists() else None
            if old is not None and now.get("features") not in (old, made["features"]):
                raise Broken(f"{self.name}: a kill left neither the old pack nor the new one")
            if self.name in ("run", "training", "merge"):
                lost = [key for key in before if before[key] != now.get(key)]
                if lost:
                    raise Broken(f"{self.name}: a kill lost or changed {lost[:3]}")
                before = now
        in_child(lambda: often(lambda: self.kind.work(place)))
        again = self.kind.made(place)
        require_equal(made, again, f"{self.name}, after {moments.total()} kills")
        left = [
            path for path in place.rglob("*") if path.name.endswith(".tmp") or path.name in ("training", "unfinished")
        ]
        if left:
            raise Broken(f"{self.name}: left behind: {left[:5]}")

    def _finished(self, place: Path) -> Mapping[str, object]:
        # Before its first record a run has a folder that says nothing.
        return self.kind.made(place) if (place / "runs").exists() or self.name in ("import", "encode") else {}

    def _moment(self, rng: random.Random, seconds: float, counts: dict[str, int]) -> tuple[str, float]:
        names = [name for name, count in counts.items() if count and (name != "step" or self.kind.at_steps)]
        choice = rng.choice(["moment", *names])
        if choice == "moment":
            return choice, rng.uniform(0.001, max(seconds, 0.01))
        return choice, rng.randrange(counts[choice])


def require_equal(made: Mapping[str, object], again: Mapping[str, object], when: str) -> None:
    """Raise :class:`Broken` if two commands did not make the same, and say what of it is otherwise."""
    differ = sorted(key for key in made.keys() | again.keys() if made.get(key) != again.get(key))
    if differ:
        first = _difference(made.get(differ[0]), again.get(differ[0]))
        raise Broken(f"{when}: {len(differ)} of {len(made)} are otherwise: {differ[:3]}; the first: {first}")


def _difference(one: object, other: object) -> str:
    """Return in what two values differ: of tables as CSV the first lines and fields that do."""
    if not isinstance(one, str) or not isinstance(other, str):
        return f"{str(one)[:200]} against {str(other)[:200]}"
    a, b = one.splitlines(), other.splitlines()
    if len(a) != len(b):
        return f"{len(a)} lines against {len(b)}"
    head = a[0].split(",")
    number = next(n for n, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1])
    fields = itertools.zip_longest(head, a[number].split(","), b[number].split(","))
    return f"line {number}: " + ", ".join(f"{name} {x} against {y}" for name, x, y in fields if x != y)[:1000]
