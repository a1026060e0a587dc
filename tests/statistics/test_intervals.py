"""Coverage, errors and widths by simulation; the long version is `python -m tests.statistics.simulate`."""

import numpy as np
import pytest
from scipy.special import stdtr
from scipy.stats import binomtest

from bench.reports.forms.intervals import bounds, crossed, t_interval
from bench.reports.forms.limits import paired_limits, share_limits
from bench.reports.metrics.influence import of_answers, of_strata
from bench.reports.statistics.designs import SEEDS
from bench.reports.statistics.estimates import Design, estimate
from tests.statistics import simulations as simulate

SHARED = Design(shared=True, overlap=0.0, over=SEEDS)
OWN = Design(shared=False, overlap=0.0, over=SEEDS)

# 500 repetitions have a standard error of 1 point; 92 to 98 is promised, and three of them are allowed on either side.
LOW = 0.90


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 10])
@pytest.mark.parametrize(("queries", "rate", "sd"), [(50, 0.995, 0.0), (100, 0.97, 0.01), (400, 0.8, 0.03)])
def test_accuracy_covers(seeds, queries, rate, sd):
    for own in (False, True):
        covered, wide, *_ = simulate.accuracy(
            seeds=seeds, queries=queries, accuracy=rate, sd=sd * (seeds > 1), own=own, repetitions=500
        )
        assert covered >= LOW
        if queries == 400 and seeds > 1:
            assert wide < 1.15


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_differences_cover_and_are_not_called_too_often(seeds):
    covered, five, _, equal = simulate.differences(
        seeds=seeds, queries=400, difference=0.0, sd=0.02 * (seeds > 1), repetitions=500
    )
    assert covered >= LOW
    assert five <= 0.08
    for queries in (50, 400):
        *_, equal = simulate.differences(seeds=seeds, queries=queries, difference=0.01, repetitions=500)
        assert equal <= 0.03 + 0.023


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_tails_hold_where_seeds_and_queries_both_matter(seeds):
    for ratio in (0.3, 3.0):
        five, _, half, tenth = simulate.tail(seeds=seeds, ratio=ratio, repetitions=40_000)
        assert five <= 1.1
        assert half <= 1.3
        assert tenth <= 1.6


def test_no_family_is_wrong_too_often():
    # 7 % are allowed, and three standard errors of 200 families.
    assert simulate.family(methods=5, seeds=3, sd=0.014, queries=300, repetitions=200) <= 0.07 + 0.054


@pytest.mark.parametrize("sizes", [(40,) * 8, (200, 60, 20, 8, 3, 2)])
def test_scores_of_a_class_incremental_run_cover(sizes):
    # Of classes with fewer than ten queries 90 % are promised; 200 repetitions have a standard error of 2 points.
    found = simulate.scores(seeds=3, sizes=sizes, ages=(0.9, 0.85, 0.8), repetitions=200)
    assert min(found.values()) >= 0.84


def test_new_classes_are_covered_where_seeds_share_classes():
    assert simulate.splits(seeds=10, repetitions=300) >= 0.91


def test_queries_that_are_there_several_times_are_one():
    assert simulate.clusters(seeds=3, copies=5, repetitions=300) >= 0.91


@pytest.mark.parametrize(("seeds", "ratio"), [(1, 0), (3, 0), (5, 1), (10, 2)])
def test_episodes_cover(seeds, ratio):
    assert simulate.episodes(seeds=seeds, number=100, ratio=ratio, repetitions=300) >= 0.91


def test_calibration_error_covers_and_is_not_what_chance_makes():
    covered, mean = simulate.calibration(seeds=1, queries=400, gap=0.0, repetitions=100)
    assert covered >= 0.9
    assert mean < 0.025
    covered, mean = simulate.calibration(seeds=1, queries=400, gap=0.08, repetitions=100)
    assert covered >= 0.87
    assert mean == pytest.approx(0.06, abs=0.01)


def test_calibration_error_covers_where_ten_seeds_share_bins_of_few_queries():
    covered, _ = simulate.calibration(seeds=10, queries=100, gap=0.08, repetitions=150)
    assert covered >= 0.93


@pytest.mark.parametrize("n", [3, 5, 7, 11])
def test_means_over_data_sets_cover(n):
    assert 0.93 <= simulate.over_datasets(n=n, kind="normal", repetitions=20_000) <= 0.98
    assert simulate.over_datasets(n=n, kind="exponential", repetitions=20_000) >= 0.9


def right(*rows):
    return [of_answers(np.asarray(row, dtype=float)) for row in rows]


def test_exact_limits_are_those_of_scipy():
    for x, n in ((0, 50), (37, 60), (60, 60)):
        expected = binomtest(x, n).proportion_ci(0.95, "exact")
        assert share_limits(x, n) == pytest.approx((expected.low, expected.high))
        row = (np.arange(n) < x) * 1.0
        e = estimate(right(row), SHARED, "share")
        assert (e.low, e.high) == pytest.approx((expected.low, expected.high), abs=0.004)


@pytest.mark.parametrize("seeds", [1, 2, 5, 10])
@pytest.mark.parametrize("design", [SHARED, OWN])
def test_nothing_wrong_is_not_certainty(seeds, design):
    e = estimate(right(*[np.ones(100)] * seeds), design, "share")
    n = 100 if design.shared else 100 * seeds
    assert e.high == 1
    assert e.low == pytest.approx(binomtest(n, n).proportion_ci(0.95, "exact").low, rel=0.002)


def test_all_right_in_classes_of_unequal_size_has_the_width_of_what_could_have_been_missed():
    labels = np.repeat(np.arange(10), [400, 200, 100, 60, 40, 20, 10, 5, 3, 2])
    e = estimate([of_strata(np.ones(len(labels)), labels)], SHARED, "share")
    assert e.high == pytest.approx(1)
    # The smallest classes have most of the weight: about 72 queries' worth.
    assert 0.94 < e.low < 0.96
    equal = estimate([of_strata(np.ones(200), np.arange(200) % 10)], SHARED, "share")
    assert equal.low == pytest.approx(binomtest(200, 200).proportion_ci(0.95, "exact").low, abs=2e-4)


def test_no_discordant_pair_leaves_about_four_in_n():
    low, high = paired_limits(0, 0, 100)
    assert (low, high) == pytest.approx((-0.0362, 0.0362), abs=2e-4)
    assert estimate(right(np.zeros(100)), SHARED, "difference").p == 1


def test_seeds_that_agree_on_everything_have_the_interval_of_one():
    row = (np.arange(100) < 80) * 1.0
    one, five = (estimate(right(*[row] * n), SHARED, "share") for n in (1, 5))
    assert (five.low, five.high) == pytest.approx((one.low, one.high), abs=0.003)


def test_a_mean_of_any_values_of_one_seed_is_students():
    y = np.array([1.0, 3, 2, 7, 1, 0])
    moves = ((y - y.mean()) / np.sqrt(len(y) * (len(y) - 1)))[None]
    nothing = np.float64(np.nan)
    c = crossed(np.array([y.mean()]), moves, gained=nothing, lost=nothing, units=np.float64(len(y)))
    assert bounds(c, "mean") == pytest.approx(t_interval(y))


@pytest.mark.parametrize("design", [SHARED, OWN])
def test_few_seeds_near_a_border_do_not_show_that_seeds_are_alike(design):
    # Of 2000 answers six are wrong: what the border takes from a spread of four points with 0.3 of room is 1.45.
    row = (np.arange(2000) >= 6) * 1.0
    for n, least, most in ((2, 0.0144, 0.0152), (3, 0.0144, 0.0152), (5, 0.0144, 0.0152), (6, 0.0, 0.004)):
        high, low = (estimate(right(*[answers] * n), design, "share") for answers in (row, 1 - row))
        assert least < high.mean - high.low < most
        assert least < low.high - low.mean < most


def test_coverage_near_a_border_where_seeds_are_cut_off():
    for seeds in (3, 10):
        for own in (False, True):
            covered, *_ = simulate.accuracy(seeds=seeds, queries=400, accuracy=0.995, sd=0.03, own=own, repetitions=500)
            assert covered >= LOW


def test_two_seeds_with_the_same_difference_are_not_sure_of_it():
    # Both gain 12 of 400 queries; within a step of 1 / 400 they may lie apart, with a variance of 1 / (12 400^2).
    rows = [np.roll((np.arange(400) < 12) * 1.0, 200 * seed) for seed in range(2)]
    e = estimate(right(*rows), SHARED, "difference")
    assert e.p > 2 * stdtr(1, -0.03 * np.sqrt(2) * 400 * np.sqrt(12)) > 0.01
    _, _, half, _ = simulate.differences(seeds=2, queries=400, sd=0.03, flips=0.0, repetitions=2000)
    assert half <= 1.5 * 0.005


def test_components_are_the_mean_squares_of_a_two_way_table():
    y = np.random.default_rng(0).random((4, 9))
    rows, columns, grand = y.mean(1), y.mean(0), y.mean()
    ms_q = 4 * sum((c - grand) ** 2 for c in columns) / 8
    ms_e = sum((y[i, j] - rows[i] - columns[j] + grand) ** 2 for i in range(4) for j in range(9)) / 24
    e = estimate(right(*y), SHARED, "mean")
    assert e.from_units == pytest.approx(max(0, ms_q - ms_e) / 36)
    assert e.rest == pytest.approx(ms_e / 9)
    assert e.from_seeds == pytest.approx(max(0, rows.var(ddof=1) - ms_e / 9))
