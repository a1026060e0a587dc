"""The bound on leaks that were not found: what it is, and that it holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.reports.forms.limits import share_limits
from bench.reports.metrics.leak_bounds import unseen_leaks
from bench.utils.errors import BenchError


def test_it_is_what_the_limits_of_both_shares_allow() -> None:
    most, recall = float(share_limits(30, 1000, 0.1 / 3)[1]), float(share_limits(90, 100, 0.1 / 3)[0])
    rate = most * (1 - recall) / recall
    bound = unseen_leaks(30, 1000, 90, 100)
    assert stats.binom.cdf(1000 * bound, 1000, rate) >= 1 - 0.05 / 3 > stats.binom.cdf(1000 * bound - 1, 1000, rate)
    assert unseen_leaks(0, 1000, 90, 100) > 0
    assert unseen_leaks(30, 1000, 0, 100) == 1
    assert unseen_leaks(900, 1000, 10, 100) == 1


@pytest.mark.parametrize(("rate", "recall", "alarms"), [(0.05, 0.9, 0.0), (0.2, 0.5, 0.01), (0.01, 0.98, 0.0)])
def test_it_holds_in_95_of_100_simulated_audits(rate: float, recall: float, alarms: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        leaked = rng.random(1000) < rate
        found = np.where(leaked, rng.random(1000) < recall, rng.random(1000) < alarms)
        planted = rng.binomial(200, recall)
        held.append((leaked & ~found).mean() <= unseen_leaks(int(found.sum()), 1000, int(planted), 200))
    assert np.mean(held) >= 0.95


@pytest.mark.parametrize("counts", [(3, 2, 1, 1), (0, 0, 1, 1), (1, 2, 5, 4), (1, 2, 0, 0), (-1, 2, 1, 1)])
def test_counts_that_cannot_be(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(BenchError, match="cannot be"):
        unseen_leaks(*counts)
