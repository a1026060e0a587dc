"""Races: the evidence, who leaves, when it ends, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from bench.racing.evidence import log_evidence, log_threshold
from bench.racing.race import race
from bench.racing.words import told
from bench.utils.errors import BenchError
from tests.statistics.races import DESIGNS, first_wins, share, wrong


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 0), (0, 5), (12, 7), (60, 40)])
def test_the_evidence_is_the_integral(wins: int, losses: int) -> None:
    whole, _ = quad(lambda p: 2 * (2 * p) ** wins * (2 * (1 - p)) ** losses, 0.5, 1)
    found = log_evidence(np.array([wins]), np.array([losses]))[0]
    assert found == pytest.approx(math.log(whole), abs=1e-8)


def test_under_equality_the_evidence_is_one_on_average() -> None:
    n = 12
    chances = np.array([math.comb(n, w) / 2**n for w in range(n + 1)])
    wins = np.arange(n + 1.0)
    assert (chances * np.exp(log_evidence(wins, n - wins))).sum() == pytest.approx(1.0)


def test_all_pairs_share_the_error() -> None:
    assert math.exp(log_threshold(6, 0.05)) == pytest.approx(6 * 5 / 0.05)


@pytest.mark.parametrize("design", DESIGNS[:4], ids=[design[0] for design in DESIGNS[:4]])
def test_equal_candidates_are_put_out_in_at_most_one_race_of_twenty(design: tuple) -> None:  # type: ignore[type-arg]
    _, accuracies, happened, rounds, images = design
    count, _ = share(150, accuracies, happened, rounds=min(rounds, 40), images=images, seed=1)
    # 15 of 150 are as likely as one in two hundred if the rate is 5 %.
    assert happened is wrong
    assert count < 15


def test_without_the_correction_equal_candidates_would_be_put_out_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.racing.race.log_threshold", lambda candidates, alpha: 0.5)
    count, _ = share(50, (0.85,) * 6, wrong, rounds=5, images=200, seed=1)
    assert count > 25


def test_a_better_candidate_wins_before_the_images_are_used_up() -> None:
    count, images = share(20, (0.95, 0.75, 0.75), first_wins, rounds=5, images=200, seed=2)
    assert count >= 19
    assert images < 1000


def answers(rates: Mapping[str, NDArray[np.bool_]], size: int = 100) -> object:
    return lambda name, number: rates[name][number * size : (number + 1) * size]


def test_who_cannot_be_fitted_is_out_with_the_reason() -> None:
    def answer(name: str, number: int) -> NDArray[np.bool_]:
        if name == "b":
            raise BenchError("b cannot be fitted: it needs texts")
        return np.ones(10, dtype=bool)

    end = race(["a", "b", "c"], 3, answer)
    assert end.unfit == {"b": "b cannot be fitted: it needs texts"}
    assert end.stayed == ("a", "c")
    assert not end.decided
    assert any("needs texts" in line for line in told(end, 3, 1.0))
    with pytest.raises(BenchError, match="needs texts"):
        race(["b"], 3, answer)


def test_the_time_ends_it_and_says_who_was_not_tried() -> None:
    spent = iter(range(1000))
    now = [0.0]

    def answer(name: str, number: int) -> NDArray[np.bool_]:
        now[0] = float(next(spent)) + 1
        return np.ones(10, dtype=bool)

    end = race(["a", "b", "c"], 5, answer, time_left=lambda longest: now[0] < 2, clock=lambda: now[0])
    assert end.out_of_time
    assert end.untried == ("c",)
    assert end.rounds == 1
    assert not end.decided
    lines = told(end, 5, 2.0)
    assert "the time was over" in lines[0]
    assert "c: not tried, for lack of time" in lines


def test_a_decided_race_says_so_and_who_put_whom_out() -> None:
    rng = np.random.default_rng(0)
    right = {"good": rng.random(500) < 0.95, "bad": rng.random(500) < 0.4}
    end = race(["bad", "good"], 5, answers(right))  # type: ignore[arg-type]
    assert end.decided
    assert end.winner == "good"
    assert end.rounds == 1
    lines = told(end, 5, 3.0)
    assert lines[0].startswith("good wins after 1 of 5 rounds and 3 seconds")
    assert lines[1] == "bad: left in round 1, after 100 images; good is better"
