"""A race: candidates answer held-out images round by round, and leave it when another is shown to be better."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.racing.evidence import log_evidence, log_threshold
from bench.utils.errors import BenchError
from bench.utils.time_limit import TimeIsUp

ALPHA = 0.05
"""The probability that any candidate leaves a race although it is as good as the one that put it out."""

Bools = NDArray[np.bool_]

Answer = Callable[[str, int], Bools]
"""Given a candidate and a round, whether each image of the round is answered rightly by a fit to the others."""


@dataclass(frozen=True, kw_only=True)
class Left:
    """A candidate that left the race: who was shown to be better, in which round, and on how many images."""

    name: str
    better: str
    round: int
    images: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """How a race ended.

    Attributes
    ----------
    winner : str
        Of those that stayed, the one with the most right answers on the images that all of them answered.
    stayed : tuple of str
        The winner and what is not shown to be worse, best first.
    left : tuple of Left
        In the order in which they left.
    unfit : mapping of str to str
        Candidates that could not be fitted, with the reason.
    untried : tuple of str
        Candidates for which there was no time.
    rounds, images : int
        Rounds that all who stayed answered, and images in them.
    right : mapping of str to int
        How many of these the candidates that stayed answered rightly.
    out_of_time : bool
        Whether the time ended the race.
    """

    winner: str
    stayed: tuple[str, ...]
    left: tuple[Left, ...]
    unfit: dict[str, str]
    untried: tuple[str, ...]
    rounds: int
    images: int
    right: dict[str, int]
    out_of_time: bool

    @property
    def decided(self) -> bool:
        """Whether every other candidate was shown to be worse."""
        return len(self.stayed) == 1 and not self.untried


@dataclass(eq=False)
class _Sheet:
    """The answers so far, and for each ordered pair on how many images only the first was right."""

    n: int
    alpha: float
    racing: list[str]
    answers: dict[str, dict[int, Bools]] = field(default_factory=dict)
    wins: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)

    def hear(self, name: str, number: int, right: Bools) -> None:
        """Take down the answers of a candidate to the images of a round."""
        for other, rounds in self.answers.items():
            if number in rounds:
                self.wins[name, other] += int(np.count_nonzero(right & ~rounds[number]))
                self.wins[other, name] += int(np.count_nonzero(rounds[number] & ~right))
        self.answers.setdefault(name, {})[number] = right

    def put_out(self, number: int) -> None:
        """Take out who is shown to be worse than any other, on the images that both have answered."""
        pairs = [(a, b) for b in self.racing for a in self.racing if a != b]
        wins = np.array([self.wins[a, b] for a, b in pairs], dtype=np.float64)
        losses = np.array([self.wins[b, a] for a, b in pairs], dtype=np.float64)
        evidence = dict(zip(pairs, log_evidence(wins, losses).tolist(), strict=True))
        needed = log_threshold(self.n, self.alpha)
        for name in list(self.racing):
            found = [(evidence[other, name], other) for other in self.racing if other != name]
            best, other = max(found, default=(-math.inf, ""))
            if best >= needed:
                self.racing.remove(name)
                self.left.append(Left(name=name, better=other, round=number, images=self.shared(name, other)))

    def shared(self, a: str, b: str) -> int:
        """Return how many images both have answered."""
        return sum(len(right) for number, right in self.answers[a].items() if number in self.answers[b])


def race(
    candidates: Sequence[str],
    rounds: int,
    answer: Answer,
    *,
    alpha: float = ALPHA,
    time_left: Callable[[float], bool] = lambda longest: True,
    clock: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    """Race candidates over rounds of images, until one is left, the rounds are over, or the time is.

    Parameters
    ----------
    candidates : sequence of str
        In the order in which they are tried.
    rounds : int
        Each has images of its own.
    answer : callable
        Raises :class:`BenchError` if the candidate cannot be fitted, and it is out; :class:`TimeIsUp` if the time was
        over before it was, and the race is.
    alpha : float
        The probability of any wrong exit.
    time_left : callable
        Given the seconds of the longest fit so far, whether there is time for another.
    clock : callable
        Seconds, from any start.

    Raises
    ------
    BenchError
        If no candidate can be fitted.
    """
    sheet = _Sheet(len(candidates), alpha, list(candidates))
    unfit: dict[str, str] = {}
    longest, over = 0.0, False
    for number in range(rounds):
        for name in list(sheet.racing):
            if sheet.answers and not time_left(longest):
                over = True
                break
            start = clock()
            try:
                sheet.hear(name, number, answer(name, number))
            except TimeIsUp:
                over = True
                break
            except BenchError as error:
                sheet.racing.remove(name)
                sheet.answers.pop(name, None)
                unfit[name] = str(error)
            longest = max(longest, clock() - start)
        if not sheet.racing:
            raise BenchError("; ".join(dict.fromkeys(unfit.values())))
        sheet.put_out(number + 1)
        if over or len(sheet.racing) == 1:
            break
    untried = tuple(name for name in sheet.racing if name not in sheet.answers)
    stayed = [name for name in sheet.racing if name in sheet.answers]
    if not stayed:
        raise BenchError("there was no time to try any method; give a larger --budget")
    common = sorted(set.intersection(*(set(sheet.answers[name]) for name in stayed)))
    right = {name: sum(int(sheet.answers[name][r].sum()) for r in common) for name in stayed}
    stayed.sort(key=lambda name: -right[name])
    return Outcome(
        winner=stayed[0],
        stayed=tuple(stayed),
        left=tuple(sheet.left),
        unfit=unfit,
        untried=untried,
        rounds=len(common),
        images=sum(len(sheet.answers[stayed[0]][r]) for r in common),
        right=right,
        out_of_time=over,
    )
