"""Paired comparisons against scipy, statsmodels-style definitions and brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.reports.statistics.intervals import Spread
from bench.reports.statistics.paired_tests import holm, mcnemar, paired_comparisons, permutation, seeds_to_settle
from tests.statistics.runs import make_run


def test_mcnemar_is_the_binomial_test():
    for b, c in [(3, 9), (0, 5), (7, 7), (40, 22)]:
        assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue)
    assert mcnemar(0, 0) == 1


def test_holm_is_the_step_down_definition():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([0.01, np.nan])[1])
    assert holm([0.01, np.nan])[0] == pytest.approx(0.01)


def test_permutation_is_the_share_of_all_flips():
    d = np.array([1.0, 1, 1, 1, -1, 1, 0, 0])
    values = d[d != 0]
    exact = np.mean([abs(np.dot(s, values)) >= abs(values.sum()) for s in product([-1, 1], repeat=len(values))])
    assert permutation([d], shared=True, purpose="test") == pytest.approx(exact, abs=0.02)


def test_permutation_with_shared_queries_flips_a_query_in_all_seeds():
    d = np.array([1.0, 1, 1, 1, -1, 1])
    once, thrice = (permutation([d] * n, shared=True, purpose="same") for n in (1, 3))
    assert once == pytest.approx(thrice, abs=0.02)
    assert permutation([d] * 3, shared=False, purpose="same") < once / 2


def test_seeds_to_settle_falls_with_the_difference_and_gives_up_on_queries():
    spread = Spread(seeds=0.0004, queries=0.02, rest=0.05)
    few, many = seeds_to_settle(0.05, spread, 2000), seeds_to_settle(0.015, spread, 2000)
    assert few is not None
    assert many is not None
    assert few < many
    assert seeds_to_settle(0.005, spread, 100) is None
    assert seeds_to_settle(0.0, spread, 2000) is None


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("c") / "r", {"a": 0.9, "b": 0.3, "c": 0.9}, queries=60)
    return paired_comparisons(groups(read_runs([folder])))[0]


def test_pairs_differences_and_verdicts(found):
    pairs = {(c.a, c.b): c for c in found}
    assert set(pairs) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert pairs["a", "b"].verdict == "better"
    assert pairs["b", "c"].verdict == "worse"
    assert pairs["a", "c"].verdict in ("undecided", "equivalent")
    assert pairs["a", "b"].superiority == 1
    assert pairs["a", "b"].difference.over == "seeds and queries"
    assert all(p < 1e-6 for p in pairs["a", "b"].p_mcnemar)
    assert all(c.p_holm >= c.difference.p for c in found)


def test_a_pair_with_different_queries_is_not_compared(tmp_path):
    make_run(tmp_path / "a", {"a": 0.9}, run="a")
    make_run(tmp_path / "b", {"b": 0.5}, run="b")
    run_table = read_runs([tmp_path])
    records = run_table.records.astype({"queries_fingerprint": object})
    changed = records["method"] == "b"
    records.loc[changed & (records["seed"] == 1), "queries_fingerprint"] = "other"
    comparisons, said = paired_comparisons(groups(replace(run_table, records=records)))
    assert comparisons[0].seeds == (0, 2)
    assert "different queries in 1 seeds" in said[0]
