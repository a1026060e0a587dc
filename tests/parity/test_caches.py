"""tip-x, ape and proker against their formulas in loops over images and classes."""

import dataclasses

import numpy as np
import pytest
import torch

from bench.learning.holdout import hold_out
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import close, few_shot, make, queries, scores


def parts(task):
    """Return unit images, their columns and unit texts, in float64."""
    x, texts = task.support.x.double().numpy(), task.prompts.x.double().numpy()
    texts = np.stack([texts[task.prompts.labels.numpy() == c][0] for c in task.classes])
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, texts)]
    return unit[0], task.columns(task.support.labels).numpy(), unit[1]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p, q):
    return sum(a * (np.log(a) - np.log(b)) for a, b in zip(p, q, strict=True))


def distances(asked, keys, texts):
    p, q = softmax(asked @ texts.T / 0.5), softmax(keys @ texts.T / 0.5)
    return np.array([[kl(a, b) for b in q] for a in p])


def naive_tip_x(asked, keys, columns, texts, ranges, alpha, beta, gamma):
    low, high, least, most = ranges
    d, out = distances(asked, keys, texts), 100 * asked @ texts.T
    for q, x in enumerate(asked):
        for j, (key, c) in enumerate(zip(keys, columns, strict=True)):
            out[q, c] += alpha * np.exp(-beta * (1 - x @ key))
            out[q, c] -= gamma * ((d[q, j] - low) / (high - low) * (most - least) + least)
    return out


def test_tip_x_equals_the_formula() -> None:
    task, asked = few_shot(), queries().double().numpy()
    keys, columns, texts = parts(task)
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=4).numpy()
    d, near = distances(keys[test], keys[~test], texts), keys[test] @ keys[~test].T
    ranges = d.min(), d.max(), near.min(), near.max()
    expected = naive_tip_x(asked, keys, columns, texts, ranges, 1.5, 3.0, 0.7)
    close(scores("tip-x", task, queries(), alpha=1.5, beta=3.0, gamma=0.7), expected, 1e-3)


def test_tip_x_weighs_classes_of_other_sizes_alike() -> None:
    task = few_shot()
    every = torch.arange(len(task.support))
    fewer = every[(task.support.labels != 7) | (every % 2 == 0)]
    found = make("tip-x").build(dataclasses.replace(task, support=task.support.take(fewer)), rng=Stream(0))
    sums = torch.zeros(3).scatter_add(0, found.columns, found.shares)
    torch.testing.assert_close(sums, torch.full((3,), len(fewer) / 3))


def test_tip_x_takes_the_first_best_of_the_grid_in_the_codes_order() -> None:
    task = few_shot()
    made = {"alpha_steps": 3, "beta_steps": 2, "gamma_steps": 2}
    state = make("tip-x", **made).build(task, rng=Stream(0))
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=4)
    rest = dataclasses.replace(task, support=task.support.take(~test))
    keys, columns, texts = parts(rest)
    x, wanted = task.support.x[test].double().numpy(), task.columns(task.support.labels)[test].numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    d, near = distances(x, keys, texts), x @ keys.T
    ranges = d.min(), d.max(), near.min(), near.max()
    best, most = None, -1
    for alpha in (0.1 + i * 49.9 / 3 for i in range(3)):
        for beta in (1 + i * 49 / 2 for i in range(2)):
            for gamma in (0.1 + i * 29.9 / 2 for i in range(2)):
                found = naive_tip_x(x, keys, columns, texts, ranges, alpha, beta, gamma)
                right = (found.argmax(1) == wanted).sum()
                best, most = (best, most) if right <= most else ((alpha, beta, gamma), right)
    assert (state.chosen.alpha, state.chosen.beta, state.chosen.gamma) == pytest.approx(best)
    assert state.chosen.tried == 12


def test_ape_equals_the_formula() -> None:
    task, asked = few_shot(), queries().double().numpy()
    keys, columns, texts = parts(task)
    sums, pairs = np.zeros(toy.DIMENSION), 0
    vectors = [*zip(texts, range(3), strict=True), *zip(keys, columns, strict=True)]
    for a, i in vectors:
        for b, j in vectors:
            if i != j:
                sums, pairs = sums + a * b, pairs + 1
    ranked = -0.5 * sums / pairs + 0.5 * texts.var(0, ddof=1)
    kept = np.argsort(-ranked, kind="stable")[: round(700 / 1024 * toy.DIMENSION)]

    def short(x):
        return x[:, kept] / np.linalg.norm(x[:, kept], axis=1, keepdims=True)

    own = softmax(short(keys) @ short(texts).T)[np.arange(len(keys)), columns]
    expected = 100 * asked @ texts.T
    for q, x in enumerate(short(asked)):
        for key, c, p in zip(short(keys), columns, own, strict=True):
            expected[q, c] += 2 * np.exp(-3 * (1 - x @ key)) * np.exp(0.1 * -np.log2(p))
    close(scores("ape", task, queries(), alpha=2.0, beta=3.0, gamma=0.1), expected, 1e-3)


def test_ape_takes_the_settings_of_a_data_set_that_the_code_knows() -> None:
    task = dataclasses.replace(few_shot(), dataset="DTD", support=few_shot().support.take([0, 6, 12]))
    state = make("ape").build(task, rng=Stream(0))
    assert (state.chosen.alpha, state.chosen.beta, state.chosen.gamma, len(state.channels)) == (
        3,
        1,
        0.1,
        round(400 / 1024 * 16),
    )


@pytest.mark.parametrize(("beta", "penalty"), [(1.5, 0.05), (7.0, 2.0)])
def test_proker_equals_the_formula(beta: float, penalty: float) -> None:
    task, asked = few_shot(), queries().double().numpy()
    keys, columns, texts = parts(task)
    n = len(keys)
    kernel = np.array([[np.exp(-beta * (1 - a @ b)) for b in keys] for a in keys])
    wrong = np.eye(3)[columns] - keys @ texts.T
    weights = np.linalg.inv(kernel / penalty + np.eye(n)) @ wrong
    near = np.array([[np.exp(-beta * (1 - a @ b)) for b in keys] for a in asked])
    close(scores("proker", task, queries(), beta=beta, penalty=penalty), asked @ texts.T + near @ weights)
    ridge = near @ np.linalg.inv(kernel + penalty * np.eye(n)) @ wrong
    np.testing.assert_allclose(near @ weights, penalty * ridge)


def test_proker_takes_the_printed_setting_where_nothing_can_be_held_out() -> None:
    task = few_shot()
    one = dataclasses.replace(task, support=task.support.take([0, 6, 12]))
    state = make("proker").build(one, rng=Stream(0))
    assert (state.beta, state.penalty, state.held_out, state.tried) == (3.0, 0.05, 0, 1)


def test_proker_chooses_on_one_held_out_image_of_a_class() -> None:
    task = few_shot()
    state = make("proker", grid_steps=3).build(task, rng=Stream(0))
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=1)
    rest = dataclasses.replace(task, support=task.support.take(~test))
    wanted = task.columns(task.support.labels)[test]
    grid = [(b, p) for b in (0.1, 5.05, 10.0) for p in (1e-3, 0.1, 10.0)]
    right = [
        int((scores("proker", rest, task.support.x[test], beta=b, penalty=p).argmax(1) == wanted).sum())
        for b, p in grid
    ]
    assert (state.beta, state.penalty) == pytest.approx(grid[right.index(max(right))])
    assert (state.held_out, state.tried) == (3, 9)
