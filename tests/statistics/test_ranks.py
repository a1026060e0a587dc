"""Rank tests against scipy and published tables."""

import numpy as np
import pytest
from scipy import stats

from bench.reports.statistics.ranks import (
    cliques,
    friedman,
    interquartile_mean,
    nemenyi,
    performance_profile,
    rank,
    wilcoxon,
)
from bench.utils.errors import BenchError

SCORES = np.random.default_rng(0).random((12, 5)) + np.arange(5) * 0.2


def test_friedman_is_that_of_scipy_with_and_without_ties():
    for x in (SCORES, SCORES.round(1)):
        expected = stats.friedmanchisquare(*x.T)
        assert friedman(x) == pytest.approx((expected.statistic, expected.pvalue))
    assert friedman(np.ones((6, 3))) == (0, 1)


@pytest.mark.parametrize(
    ("k", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_nemenyi_has_the_critical_values_of_demsar_table_5(k, q):
    n = 14
    assert nemenyi(k, n) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * n)), rel=4e-4)


def test_wilcoxon_is_that_of_scipy():
    expected = stats.wilcoxon(SCORES[:, 0], SCORES[:, 1], zero_method="pratt").pvalue
    assert wilcoxon(SCORES[:, 0], SCORES[:, 1]) == pytest.approx(expected)
    assert wilcoxon(SCORES[:, 0], SCORES[:, 0]) == 1


def test_ranking_is_best_first_and_permutation_invariant():
    names = list("abcde")
    one = rank(names, SCORES)
    assert one.methods[0] == "e"
    assert one.ranks == pytest.approx(np.sort(stats.rankdata(-SCORES, axis=1).mean(0)))
    order = [3, 0, 4, 2, 1]
    two = rank([names[i] for i in order], SCORES[::-1][:, order])
    assert two.methods == one.methods
    assert two.wilcoxon_p == pytest.approx(one.wilcoxon_p)


def test_too_few_data_sets_are_refused():
    with pytest.raises(BenchError, match="4 data sets are too few to rank, it takes 5"):
        rank(list("abcde"), SCORES[:4])
    with pytest.raises(BenchError, match="2 methods"):
        rank(list("ab"), SCORES[:, :2])


def test_a_test_that_no_result_could_decide_is_left_out():
    # Of six data sets the signed-rank test has p >= 2 / 2^6, which is 3 / 2^5 after Holm's correction over three pairs.
    six = rank(list("abc"), SCORES[:6, :3])
    assert six.wilcoxon_p is None
    assert six.least_p == pytest.approx(0.09375)
    assert "least p-value is 0.0938" in six.undecided
    assert rank(list("abc"), SCORES[:7, :3]).wilcoxon_p is not None


def test_cliques_are_the_widest_runs_below_the_difference():
    assert cliques(np.array([1.0, 1.5, 2.4, 4.0]), 1.0) == ((0, 1), (1, 2))
    assert cliques(np.array([1.0, 1.2, 1.4]), 1.0) == ((0, 2),)
    assert cliques(np.array([1.0, 3.0]), 1.0) == ()


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_performance_profile_counts_runs_above():
    assert performance_profile([0.1, 0.5, 0.9, 0.9], [0.0, 0.5, 0.9]) == pytest.approx([1, 0.5, 0])
