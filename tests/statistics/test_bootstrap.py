"""The hierarchical bootstrap against formulas and against slow loops."""

import numpy as np
import pytest

from bench.reports.statistics.bootstrap import Sample, over_datasets, percentile, resampled_means
from bench.reports.statistics.intervals import two_way


def answers(seed, methods=2, seeds=6, queries=400):
    rng = np.random.default_rng(seed)
    easy = rng.beta(2, 0.6, queries)
    p = np.clip(easy + rng.normal(0, 0.03, (methods, seeds, 1)), 0, 1)
    return rng.random((methods, seeds, queries)) < p


def sample(y, name="made", shared=True):
    return Sample(name, tuple(y[:, s] for s in range(y.shape[1])), shared)


def test_error_agrees_with_the_two_way_formula():
    y = answers(0, seeds=20)
    error = resampled_means(sample(y), 4000).std(0)
    assert error == pytest.approx([two_way(m.astype(float)).error for m in y], rel=0.12)


def test_methods_share_their_draws():
    y = answers(1)
    means = resampled_means(sample(y), 3000)
    apart = np.sqrt(means.var(0).sum())
    assert (means[:, 0] - means[:, 1]).std() < 0.9 * apart


def test_seeds_with_their_own_queries_give_the_error_of_their_means():
    y = answers(2, seeds=12)
    error = resampled_means(sample(y, shared=False), 4000).std(0)
    assert error == pytest.approx(y.mean(2).std(1, ddof=1) / np.sqrt(12), rel=0.06)


def test_seeds_that_agree_still_leave_the_queries():
    y = np.repeat(answers(2, seeds=1), 8, axis=1)
    error = resampled_means(sample(y), 3000).std(0)
    assert error == pytest.approx(y[:, 0].std(1) / np.sqrt(y.shape[2]), rel=0.08)


def test_patterns_and_single_queries_have_the_same_distribution():
    y = answers(3)
    short = resampled_means(sample(y, "a"), 4000)
    long = resampled_means(sample(y.astype(np.float64), "b"), 4000)
    assert short.mean(0) == pytest.approx(long.mean(0), abs=0.003)
    assert short.std(0) == pytest.approx(long.std(0), rel=0.08)


def test_draws_depend_on_names_alone():
    y, z = answers(4), answers(5)
    alone = resampled_means(sample(y, "y"), 50)
    resampled_means(sample(z, "z"), 50)
    assert (resampled_means(sample(y, "y"), 50) == alone).all()
    assert not (resampled_means(sample(y, "w"), 50) == alone).all()


def test_data_sets_add_their_spread():
    sets = [sample(answers(s) & (np.random.default_rng(s).random(400) < 0.5 + 0.05 * s), str(s)) for s in range(8)]
    means = over_datasets(sets, 3000)
    values = np.array([np.mean([v.mean(1) for v in s.values], axis=0) for s in sets])
    between = values.std(0) / np.sqrt(len(sets))
    low, high = percentile(means)
    assert means.mean(0) == pytest.approx(values.mean(0), abs=0.01)
    assert (means.std(0) >= 0.95 * between).all()
    assert ((low < values.mean(0)) & (values.mean(0) < high)).all()
