"""Metrics of incremental learning against hand-made matrices and against their sums written out."""

import numpy as np
import pytest

from bench.reports.metrics import incremental as metrics

N = np.nan

# Three sessions: classes 0 and 1, then 2, then 3.
A = np.array(
    [
        [0.9, 0.8, N, N],
        [0.7, 0.9, 0.6, N],
        [0.5, 0.6, 0.8, 1.0],
    ]
)


def test_forgetting_is_best_earlier_minus_last():
    assert metrics.forgetting_per_class(A)[:3] == pytest.approx([0.4, 0.3, -0.2])
    assert np.isnan(metrics.forgetting_per_class(A)[3])
    assert metrics.forgetting(A) == pytest.approx(0.5 / 3)


def test_forgetting_is_a_mean_over_classes_not_over_groups():
    # Two classes arrive together and one alone; a mean of group means would be (0.35 - 0.2) / 2.
    assert metrics.forgetting(A) != pytest.approx((0.35 - 0.2) / 2)


def test_backward_transfer_is_last_minus_at_arrival():
    assert metrics.backward_transfer(A) == pytest.approx(((0.5 - 0.9) + (0.6 - 0.8) + (0.8 - 0.6)) / 3)


def test_learning_accuracy_is_the_diagonal():
    assert metrics.learning_accuracy(A) == pytest.approx((0.9 + 0.8 + 0.6 + 1.0) / 4)


def test_forward_transfer_counts_classes_after_the_first_session_only():
    before = np.array([0.5, 0.5, 0.3, 0.2])
    chance = np.array([0.0, 0.0, 0.1, 0.1])
    assert metrics.forward_transfer(A, before, chance) == pytest.approx(((0.3 - 0.1) + (0.2 - 0.1)) / 2)


def test_forward_transfer_that_was_not_measured_is_nan():
    nothing = np.full(4, N)
    assert np.isnan(metrics.forward_transfer(A, nothing, nothing))


def test_counts_give_overall_old_and_new():
    total = np.array([[10, 30, 0], [10, 30, 60]])
    correct = np.array([[9, 15, 0], [5, 15, 30]])
    assert metrics.overall(correct, total) == pytest.approx([24 / 40, 50 / 100])
    assert metrics.of_group(correct, total, new=True) == pytest.approx([24 / 40, 30 / 60])
    old = metrics.of_group(correct, total, new=False)
    assert np.isnan(old[0])
    assert old[1] == pytest.approx(20 / 40)
    assert metrics.recall(metrics.ratio(correct, total)) == pytest.approx([(0.9 + 0.5) / 2, (0.5 + 0.5 + 0.5) / 3])
    assert metrics.average_incremental(metrics.overall(correct, total)) == pytest.approx(0.55)


def test_classes_of_the_start_and_later_ones_stay_the_same_groups():
    # Class 2 comes in session 1; in session 2 nothing comes, so that old would hold all and new nothing.
    total = np.array([[10, 20, 0], [10, 20, 30], [10, 20, 30]])
    correct = np.array([[5, 10, 0], [10, 20, 15], [0, 15, 30]])
    assert metrics.of_start(correct, total, start=True) == pytest.approx([15 / 30, 1, 15 / 30])
    later = metrics.of_start(correct, total, start=False)
    assert np.isnan(later[0])
    assert later[1:] == pytest.approx([0.5, 1])
    assert np.isnan(metrics.of_group(correct, total, new=True)[2])


def test_one_session_has_no_forgetting_and_no_transfer():
    one = A[-1:]
    assert np.isnan(metrics.forgetting(one))
    assert np.isnan(metrics.backward_transfer(one))
    assert metrics.learning_accuracy(one) == pytest.approx(np.mean(one))


def test_a_class_without_queries_is_left_out():
    a = np.column_stack([A, np.full(3, N)])
    assert metrics.forgetting(a) == pytest.approx(metrics.forgetting(A))
    assert metrics.recall(a) == pytest.approx(metrics.recall(A))


def test_leading_dimensions_are_kept_and_agree_with_loops():
    rng = np.random.default_rng(0)
    runs, sessions, per = 7, 4, 3
    a = rng.random((runs, sessions, sessions * per))
    born = np.repeat(np.arange(sessions), per)
    a[:, np.arange(sessions)[:, None] < born] = N
    for r in range(runs):
        lost, moved = [], []
        for k in range(sessions * per):
            if born[k] < sessions - 1:
                lost.append(max(a[r, t, k] for t in range(born[k], sessions - 1)) - a[r, -1, k])
                moved.append(a[r, -1, k] - a[r, born[k], k])
        assert metrics.forgetting(a)[r] == pytest.approx(np.mean(lost))
        assert metrics.backward_transfer(a)[r] == pytest.approx(np.mean(moved))
    assert (metrics.arrival(a) == born).all()
