"""The interval of a share of right answers."""

from __future__ import annotations

import pytest
from scipy import stats

from bench.classifier.shares import share_limits


@pytest.mark.parametrize(("right", "total"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 30), (999, 1000)])
def test_limits_are_those_of_clopper_and_pearson(right: int, total: int) -> None:
    expected = stats.binomtest(right, total).proportion_ci(0.95, method="exact")
    assert share_limits(right, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_no_answer_at_all_says_nothing() -> None:
    assert share_limits(0, 0) == (0.0, 1.0)
