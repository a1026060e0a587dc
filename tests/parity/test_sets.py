"""zlap, zlap-inductive and transclip against dense matrices."""

import dataclasses

import numpy as np
import pytest
import torch

from bench.functional.propagation import Graph, propagate, steps_for
from bench.learning.class_texts import prompt_matrix
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import close, few_shot, make


def asked(n=45):
    return toy.cloud([7, 3, 9], n // 3, toy.dataset().class_names, "set", 0.5).x


def dense(x, texts, k=5, gamma=5.0, alpha=0.3):
    """Return I - alpha D^-1/2 W D^-1/2 as the official code makes it, texts first."""
    c, n = len(texts), len(x)
    w = np.zeros((c + n, c + n))
    for i, row in enumerate(x):
        near = np.argsort(-(x @ row), kind="stable")[:k]
        for j in near:
            w[c + i, c + j] = max(x[j] @ row, 0)
        for j in np.argsort(-(texts @ row), kind="stable")[: min(k, c)]:
            w[c + i, j] = max(texts[j] @ row, 0) ** gamma
    w = w + w.T
    w -= np.diag(np.diag(w))
    degree = w.sum(1)
    root = 1 / np.sqrt(np.where(degree == 0, 1, degree))
    return np.eye(c + n) - alpha * root[:, None] * w * root[None, :]


def unit(x):
    x = x.double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_zlap_solves_the_official_system() -> None:
    task, x = few_shot(), unit(asked())
    texts = prompt_matrix(task).double().numpy()
    expected = np.linalg.inv(dense(x, texts))[3:, :3]
    method = make("zlap")
    found = method.score(method.build(task, rng=Stream(0)), asked())
    close(found, expected, 1e-5)
    assert (found.argmax(1).numpy() == expected.argmax(1)).all()


@pytest.mark.parametrize("sparse", [False, True])
def test_zlap_inductive_solves_for_each_query(sparse: bool) -> None:
    task = toy.task(support=False)
    memory, texts = unit(task.memory.images.x), prompt_matrix(task).double().numpy()
    inverse = np.linalg.inv(dense(memory, texts))
    if sparse:
        columns = inverse[:, :3]
        kept = np.zeros_like(columns)
        best = columns.argmax(1)
        kept[np.arange(len(kept)), best] = columns[np.arange(len(kept)), best]
        inverse = np.concatenate([kept, np.zeros((len(kept), len(kept) - 3))], 1)
    expected = []
    for row in unit(asked()):
        y = np.zeros(len(inverse))
        near = np.argsort(-(memory @ row), kind="stable")[:5]
        y[3 + near] = np.maximum(memory[near] @ row, 0)
        y[:3] = np.maximum(texts @ row, 0) ** 5
        expected.append(y @ inverse[:, :3])
    method = make("zlap-sparse" if sparse else "zlap-inductive")
    close(method.score(method.build(task, rng=Stream(0)), asked()), np.stack(expected), 1e-5)


def test_labels_of_the_memory_are_not_read_by_zlap_inductive() -> None:
    task, method = toy.task(support=False), make("zlap-inductive")
    images = task.memory.images
    wrong = dataclasses.replace(images, labels=images.labels.flip(0))
    other = dataclasses.replace(task, memory=task.memory.replace(images=wrong))
    first, second = (method.score(method.build(t, rng=Stream(0)), asked()) for t in (task, other))
    assert torch.equal(first, second)


def test_conjugate_gradients_reach_the_tolerance_in_the_steps_that_are_taken() -> None:
    rng = np.random.default_rng(0)
    to = torch.from_numpy(rng.integers(0, 60, (60, 6)))
    weights = torch.from_numpy(rng.random((60, 6)))
    w = np.zeros((60, 60))
    np.add.at(w, (np.repeat(np.arange(60), 6), to.numpy().ravel()), weights.numpy().ravel())
    w = w + w.T
    root = 1 / np.sqrt(w.sum(1))
    for alpha in (0.1, 0.3, 0.9):
        system = np.eye(60) - alpha * root[:, None] * w * root[None, :]
        found = propagate(Graph(to, weights), torch.arange(5), alpha=alpha, most=200).numpy()
        right = np.eye(60)[:, :5]
        assert np.abs(system @ found - right).max() < 1e-5
    assert steps_for(0.3, 1e-6, 50) == 8
    assert steps_for(0.99, 1e-6, 50) == 50


def naive_transclip(x, texts, shots, columns, gamma):
    """Return the assignments, with dense links and a loop over classes."""
    q, d, c = len(x), x.shape[1], len(texts)
    few = len(shots) > 0
    logits = 100 * x @ texts.T
    y = np.exp(logits - logits.max(1, keepdims=True))
    y /= y.sum(1, keepdims=True)
    z, given = y.copy(), np.eye(c)[columns] if few else np.zeros((0, c))
    w = np.zeros((q, q))
    for i, row in enumerate(x):
        near = [j for j in np.argsort(-(x @ row), kind="stable") if j != i][:3]
        w[i, near] = x[near] @ row
    ws = np.zeros((len(shots), q))
    for i, row in enumerate(shots):
        near = np.argsort(-(x @ row), kind="stable")[:3]
        ws[i, near] = x[near] @ row
    mu = np.zeros((c, d))
    for k in range(c):
        if few:
            mu[k] = given[:, k] @ shots
        else:
            best = np.argsort(-z[:, k], kind="stable")[:8]
            mu[k] = z[best, k] @ x[best]
        mu[k] /= np.linalg.norm(mu[k])
    var, share = np.full(d, 1 / d), 50 * gamma / max(1, len(shots))
    for round_ in range(11):
        far = np.array([[((row - m) ** 2 / var).sum() for m in mu] for row in x])
        for _ in range(5):
            push = -0.5 * far + 50 / 6 * (w @ z + w.T @ z + ws.T @ given)
            push -= push.max(1, keepdims=True)
            z = y ** (0.5 if few else 1.0) * np.exp(push / 50)
            z /= z.sum(1, keepdims=True)
        if round_ == 10:
            return z
        for k in range(c):
            mu[k] = (z[:, k] / q) @ x + share * (given[:, k] @ shots)
            mu[k] /= np.linalg.norm(mu[k])
        var = sum(z[i, k] / q * (x[i] - mu[k]) ** 2 for i in range(q) for k in range(c))
        var = var + sum(share * (shots[i] - mu[columns[i]]) ** 2 for i in range(len(shots)))
        var = var / (z.sum() / q + share * len(shots))
    raise AssertionError


@pytest.mark.parametrize("few", [False, True])
def test_transclip_equals_its_updates(few: bool) -> None:
    task = few_shot()
    if not few:
        task = dataclasses.replace(task, support=task.support.emptied())
    texts = prompt_matrix(task).double().numpy()
    columns = task.columns(task.support.labels).numpy()
    expected = naive_transclip(unit(asked()), texts, unit(task.support.x), columns, 0.02)
    method = make("transclip", gamma=0.02)
    found = method.score(method.build(task, rng=Stream(0)), asked()).exp()
    close(found, expected, 1e-3)
    assert (found.argmax(1).numpy() == expected.argmax(1)).all()


def test_transclip_chooses_gamma_by_the_nearest_queries_of_held_out_images() -> None:
    task, method = few_shot(), make("transclip")
    state = method.build(task, rng=Stream(0))
    x, near = unit(asked()), (unit(state.check) @ unit(asked()).T).argmax(1)
    texts, shots = prompt_matrix(task).double().numpy(), unit(state.shots)
    rest, columns = state.rest.numpy(), state.columns.numpy()
    grid = (0.002, 0.01, 0.02, 0.2)
    right = [
        int((naive_transclip(x, texts, shots[rest], columns[rest], g).argmax(1)[near] == state.wanted.numpy()).sum())
        for g in grid
    ]
    best = grid[right.index(max(right))]
    fixed = make("transclip", gamma=best)
    torch.testing.assert_close(method.score(state, asked()), fixed.score(fixed.build(task, rng=Stream(0)), asked()))
