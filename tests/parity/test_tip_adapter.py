import dataclasses

import numpy as np
import torch

from bench.learning.holdout import hold_out
from bench.utils.random import Stream
from tests.parity._naive import close, few_shot, make, queries, scores


def naive(task: object, asked: np.ndarray, alpha: float, beta: float, zero_shot: bool = True) -> np.ndarray:
    x, labels = task.support.x.double().numpy(), task.support.labels.numpy()  # type: ignore[attr-defined]
    onehot = (labels[:, None] == np.array(task.classes)[None]).astype(float)  # type: ignore[attr-defined]
    cached = alpha * np.exp(-beta * (1 - asked @ x.T)) @ onehot
    if not zero_shot:
        return cached
    prompts = task.prompts  # type: ignore[attr-defined]
    w = np.stack([prompts.x[prompts.labels == c][0].double().numpy() for c in task.classes])  # type: ignore[attr-defined]
    return 100 * asked @ w.T + cached


def test_equals_the_formula() -> None:
    task, asked = few_shot(), queries().double().numpy()
    close(scores("tip-adapter", task, queries(), alpha=1.17, beta=1.0), naive(task, asked, 1.17, 1.0), 1e-4)
    close(scores("tip-adapter", task, queries(), alpha=3.0, beta=5.5), naive(task, asked, 3.0, 5.5), 1e-4)


def test_without_texts_only_the_cache_speaks_and_the_record_says_so() -> None:
    task, method = few_shot(texts=False), make("tip-adapter", alpha=1.17, beta=5.5)
    state = method.build(task, rng=Stream(0))
    close(method.score(state, queries()), naive(task, queries().double().numpy(), 1.17, 5.5, zero_shot=False))
    assert method.describe(state)["zero_shot_term"] is False


def test_alpha_and_beta_are_the_best_of_the_grid_on_held_out_support() -> None:
    task = few_shot()
    # Texts that are off make the cache matter.
    wrong = dataclasses.replace(task.prompts, x=task.prompts.x.flip(0))
    task = dataclasses.replace(task, prompts=wrong)
    state = make("tip-adapter", steps=4).build(task, rng=Stream(0))
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=4)
    rest = dataclasses.replace(task, support=task.support.take(~test))
    x, target = task.support.x[test].double().numpy(), task.columns(task.support.labels)[test].numpy()

    def right(alpha: float, beta: float) -> int:
        return int((naive(rest, x, alpha, beta).argmax(1) == target).sum())

    grid = [(a, b) for b in [1.0, *np.linspace(0.1, 7, 4)] for a in [1.17, *np.linspace(0.1, 3, 4)]]
    assert right(state.alpha, state.beta) == max(right(a, b) for a, b in grid)
    assert state.held_out == int(test.sum())


def test_defaults_where_nothing_can_be_held_out() -> None:
    task = few_shot()
    first = torch.tensor([int((task.support.labels == c).nonzero()[0]) for c in task.classes])
    state = make("tip-adapter").build(dataclasses.replace(task, support=task.support.take(first)), rng=Stream(0))
    assert (state.alpha, state.beta, state.held_out) == (1.17, 1.0, 0)


def test_finetuning_starts_from_the_images_and_lowers_the_loss() -> None:
    task = few_shot()
    task = dataclasses.replace(task, prompts=dataclasses.replace(task.prompts, x=task.prompts.x.flip(0)))
    target = task.columns(task.support.labels)

    def loss(name: str, **parameters: float) -> float:
        logits = scores(name, task, task.support.x, alpha=1.17, beta=1.0, **parameters)
        return float(torch.nn.functional.cross_entropy(logits, target))

    assert loss("tip-adapter-f", lr=0.01) < loss("tip-adapter") - 0.01
    close(
        scores("tip-adapter-f", task, queries(), alpha=1.17, beta=1.0, lr=1e-12),
        scores("tip-adapter", task, queries(), alpha=1.17, beta=1.0).double().numpy(),
        1e-4,
    )
