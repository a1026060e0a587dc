import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from bench.functional.ridge import Rows, Sums, held_out_errors
from bench.learning.holdout import hold_out
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import close, few_shot, make, queries, scores


@pytest.mark.parametrize("width", [8, 64])
@pytest.mark.parametrize("penalty", [1e-2, 10.0])
def test_equals_the_normal_equations_and_scikit_learn(width: int, penalty: float) -> None:
    # 18 images: projected in three parts of which the first two are as many as projections, and at once.
    task = few_shot()
    method = make("ranpac", width=width, penalty=penalty)
    state = method.build(task, rng=Stream(0))
    r = state.projection.double().numpy()
    h = np.maximum(task.support.x.double().numpy() @ r, 0)
    y = np.eye(3)[task.columns(task.support.labels).numpy()]
    w = np.linalg.solve(h.T @ h + penalty * np.eye(width), h.T @ y)
    asked = np.maximum(queries().double().numpy() @ r, 0)
    close(method.score(state, queries()), asked @ w)
    close(method.score(state, queries()), Ridge(penalty, fit_intercept=False).fit(h, y).predict(asked))


def test_the_penalty_has_the_least_held_out_error() -> None:
    task = few_shot()
    method = make("ranpac", width=64)
    state = method.build(task, rng=Stream(0))
    columns = task.columns(task.support.labels)
    test = hold_out(columns, task.support.ids, share=0.2).numpy()
    h = np.maximum(task.support.x.double().numpy() @ state.projection.double().numpy(), 0)
    y = np.eye(3)[columns.numpy()]
    grid = [10.0**p for p in range(-8, 9)]
    errors = [
        (
            (h[test] @ np.linalg.solve(h[~test].T @ h[~test] + p * np.eye(64), h[~test].T @ y[~test]) - y[test]) ** 2
        ).mean()
        for p in grid
    ]
    assert state.penalty == grid[int(np.argmin(errors))]
    assert method.describe(state)["held_out"] == int(test.sum()) == 3


def test_another_seed_draws_another_projection() -> None:
    task, method = few_shot(), make("ranpac", width=16, penalty=1.0)
    states = [method.build(task, rng=Stream(seed)) for seed in (0, 0, 1)]
    assert torch.equal(states[0].projection, states[1].projection)
    assert not torch.equal(states[0].projection, states[2].projection)


@pytest.mark.parametrize("width", [6, 40])
def test_rows_can_be_taken_out_even_where_they_repeat(width: int) -> None:
    rng = Stream(4).numpy()
    h, columns = torch.from_numpy(rng.standard_normal((12, width))), torch.arange(12) % 3
    h[5], columns[5] = h[2], columns[2]
    kept = torch.tensor([n for n in range(12) if n not in (2, 7)])
    rows = Rows.of(h, columns, 3)
    for whole in (rows, rows.summed()):
        found = whole.minus(h[[2, 7]], columns[[2, 7]]).weights(0.1)
        expected = Rows.of(h[kept], columns[kept], 3).weights(0.1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("held", [3, 9])
def test_held_out_errors_are_the_same_by_rows_and_by_sums(held: int) -> None:
    """11 or 5 rows to fit on, of 8 numbers."""
    rng = Stream(5).numpy()
    h, y = torch.from_numpy(rng.standard_normal((14, 8))), torch.eye(3).double()[torch.arange(14) % 3]
    test = torch.arange(14) < held
    w = [torch.linalg.solve(h[~test].T @ h[~test] + p * torch.eye(8), h[~test].T @ y[~test]) for p in (0.25, 8.0)]
    expected = [float(((h[test] @ each - y[test]) ** 2).mean()) for each in w]
    assert held_out_errors(h, y, test, (0.25, 8.0)) == pytest.approx(expected, rel=1e-9)


def test_a_state_of_more_images_than_numbers_is_their_sums_and_grows_as_one_built_at_once() -> None:
    method, whole = make("ranpac", width=8, penalty=0.5), few_shot()
    first, second = (
        dataclasses.replace(whole, support=whole.support.take(torch.arange(len(whole.support)) % 3 == part))
        for part in (0, 1)
    )
    state = method.build(first, rng=Stream(0))
    assert isinstance(state.normal, Rows)
    state = method.extend(state, second, rng=Stream(0))
    assert isinstance(state.normal, Sums)
    both = torch.arange(len(whole.support)) % 3 < 2
    built = method.build(dataclasses.replace(whole, support=whole.support.take(both)), rng=Stream(0))
    close(method.score(state, queries()), method.score(built, queries()).double().numpy())


def test_scores_stay_finite_where_an_image_repeats() -> None:
    task = few_shot()
    doubled = task.support.take(torch.tensor([*range(len(task.support)), 0]))
    ids = doubled.ids.copy()
    ids[-1] = "again"
    task = dataclasses.replace(task, support=dataclasses.replace(doubled, ids=ids))
    assert torch.isfinite(scores("ranpac", task, queries(), width=64)).all()


@pytest.mark.parametrize("penalty", [1e-8, 10.0])
def test_forgetting_one_by_one_is_exact_for_images_that_are_nearly_or_quite_the_same(penalty: float) -> None:
    data = toy.cloud([7, 3, 9], 12, toy.dataset().class_names, "alike", 0.01)
    x = data.x.clone()
    x[1::4] = x[0::4]
    data = dataclasses.replace(data, x=x)
    task = dataclasses.replace(few_shot(), support=data)
    method = make("ranpac", width=64, penalty=penalty)
    state = method.build(task, rng=Stream(0))
    order = Stream(0).permutation(len(data))
    for n in range(1, 31):
        state = method.forget(state, task, [str(data.ids[order[n - 1]])])
    left = dataclasses.replace(task, support=data.take(np.sort(order[30:])))
    never = method.build(left, rng=Stream(0))
    torch.testing.assert_close(method.score(state, queries()), method.score(never, queries()), atol=1e-4, rtol=1e-4)
