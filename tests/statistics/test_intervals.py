"""Coverage, false positives and power by simulation; the long version is `python -m tests.statistics.simulate`."""

import numpy as np
import pytest

from bench.reports.statistics.intervals import estimate, t_interval, two_way, wilson
from tests.statistics import simulate


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_two_way_interval_covers(seeds, spread):
    # 600 repetitions have a standard error of 0.9 points: 92.5 to 98 is 95 within three of them, and 93-97 is
    # what the long version shows.
    covered = simulate.coverage(seeds=seeds, queries=300, spread=spread, repetitions=600)
    assert 0.925 <= covered <= 0.98


def test_seeds_alone_would_not_cover_new_queries():
    covered = simulate.coverage(seeds=10, queries=300, spread=0.005, repetitions=300, over_seeds_alone=True)
    assert covered < 0.85


@pytest.mark.parametrize("seeds", [3, 10])
def test_own_queries_interval_covers(seeds):
    assert 0.925 <= simulate.coverage(seeds=seeds, queries=200, spread=0.02, repetitions=600, shared=False) <= 0.98


@pytest.mark.parametrize(("seeds", "ratio"), [(1, 0), (3, 0), (5, 0), (5, 1), (10, 1), (10, 2)])
def test_episode_interval_covers(seeds, ratio):
    assert 0.92 <= simulate.episode_coverage(seeds=seeds, episodes=100, ratio=ratio, repetitions=600) <= 0.985


def test_nested_equals_the_mean_squares_written_out():
    y = np.random.default_rng(1).random((3, 8)) + np.array([[0.0], [2.0], [4.0]])
    between = 8 * sum((row.mean() - y.mean()) ** 2 for row in y) / 2
    e = estimate(list(y), shared=False, episodes=True)
    assert (e.over, e.df, e.n_queries) == ("seeds", 2, 8)
    assert e.error**2 == pytest.approx(between / 24)
    # Seeds with equal means add nothing of their own: the 24 episodes are one sample with 21 degrees of freedom.
    level = y - y.mean(1, keepdims=True)
    e = estimate(list(level), shared=False, episodes=True)
    assert (e.over, e.df) == ("episodes", 21)
    assert e.error**2 == pytest.approx((level**2).sum() / 21 / 24)


def test_one_seed_of_episodes_speaks_for_episodes():
    assert estimate([np.array([0.2, 0.4, 0.9])], shared=True, episodes=True).over == "episodes"


def test_family_wise_false_positives_stay_below_five_per_cent():
    # The bound is 5 % plus two standard errors of 400 repetitions.
    assert simulate.false_positives(methods=4, seeds=3, queries=300, repetitions=400) <= 0.072


def test_power_is_what_was_promised():
    promised = simulate.promised_power(repetitions=300)
    assert 0.72 <= promised <= 0.9


def test_two_way_equals_the_mean_squares_written_out():
    y = np.random.default_rng(0).random((4, 9))
    rows, columns, grand = y.mean(1), y.mean(0), y.mean()
    ms_s = 9 * sum((r - grand) ** 2 for r in rows) / 3
    ms_q = 4 * sum((c - grand) ** 2 for c in columns) / 8
    ms_e = sum((y[i, j] - rows[i] - columns[j] + grand) ** 2 for i in range(4) for j in range(9)) / 24
    e = two_way(y)
    assert e.error**2 == pytest.approx(max(ms_s, ms_q, ms_s + ms_q - ms_e) / 36)
    assert e.spread.rest == pytest.approx(ms_e)


def test_one_seed_speaks_for_queries_only():
    y = np.array([1.0, 0, 1, 1, 0, 1])
    e = estimate([y], shared=True)
    assert e.over == "queries"
    assert (e.low, e.high) == pytest.approx(t_interval(y))


def test_seeds_that_agree_on_everything_still_leave_the_queries():
    y = np.tile((np.arange(100) < 80).astype(float), (5, 1))
    e = estimate(list(y), shared=True)
    assert e.high - e.low == pytest.approx(2 * 1.984 * 0.4 / np.sqrt(99), rel=0.01)


def test_no_difference_at_all_is_p_one():
    e = estimate([np.zeros(50), np.zeros(50)], shared=True)
    assert (e.mean, e.p) == (0, 1)


def test_wilson_is_that_of_scipy():
    from scipy.stats import binomtest

    expected = binomtest(37, 60).proportion_ci(0.95, "wilson")
    assert wilson(37, 60) == pytest.approx((expected.low, expected.high))
