import dataclasses

import numpy as np
import pytest
import torch

from bench.core.task import Task
from bench.learning.holdout import hold_out
from bench.methods.tip_adapter import TipAdapter, _search_of
from bench.utils.random import Stream
from tests.parity._naive import close, few_shot, make, queries, scores


def naive(task: Task, asked: np.ndarray, alpha: float, beta: float, zero_shot: bool = True) -> np.ndarray:
    x, labels = task.support.x.double().numpy(), task.support.labels.numpy()
    onehot = (labels[:, None] == np.array(task.classes)[None]).astype(float)
    cached: np.ndarray = alpha * np.exp(-beta * (1 - asked @ x.T)) @ onehot
    if not zero_shot:
        return cached
    prompts = task.prompts
    w = np.stack([prompts.x[prompts.labels == c][0].double().numpy() for c in task.classes])
    logits: np.ndarray = 100 * asked @ w.T + cached
    return logits


OFFICIAL = {
    ("imagenet", False): (
        (2.855, 1.066),
        [
            [-6.715105, -16.392277, -2.617978, 22.776764, 9.687702],
            [36.725746, -1.375005, -45.695137, 3.093446, -7.994966],
            [35.83008, 6.233225, -5.0193, 43.231064, -22.764885],
            [30.032045, 36.422737, 0.106335, -4.349218, -20.376282],
        ],
    ),
    ("imagenet", True): (
        (2.855, 0.8935),
        [
            [-5.680368, -15.314654, -1.445525, 23.90246, 10.737576],
            [37.7803, -0.18597, -44.62805, 4.059491, -6.908167],
            [36.927544, 7.339708, -3.918754, 44.126503, -21.654085],
            [31.074747, 37.582664, 1.192506, -3.233661, -19.315042],
        ],
    ),
    ("oxford_flowers", False): (
        (47.505, 1.098),
        [
            [61.14261, 79.11592, 82.9045, 103.194725, 86.70684],
            [122.13819, 125.52679, 18.48711, 94.56402, 88.781075],
            [114.4693, 109.51064, 85.44416, 165.80276, 70.63635],
            [152.66063, 139.45172, 102.43729, 77.45141, 50.776295],
        ],
    ),
    ("oxford_flowers", True): (
        (47.505, 1.098),
        [
            [60.227608, 78.87802, 83.75537, 103.57826, 85.465416],
            [120.7561, 128.78757, 19.012897, 92.378845, 89.37781],
            [113.78447, 111.24586, 86.618454, 163.47113, 70.57996],
            [152.71431, 141.11038, 101.228, 77.8607, 50.58186],
        ],
    ),
}
"""What gaopengcuhk/Tip-Adapter gave at commit d0e2d6f for the inputs below, by data set and whether keys were trained.

alpha and beta are of utils.py's ``search_hp`` (after main.py's ``run_tip_adapter_F``, of which the last epoch was
kept), and the logits of main.py with them.
"""


@pytest.mark.parametrize(("dataset", "finetune"), list(OFFICIAL))
def test_search_training_and_logits_are_those_of_the_official_code(dataset: str, finetune: bool) -> None:
    random = np.random.default_rng(11)

    def unit(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()

    centres, labels = random.standard_normal((5, 16)), np.repeat(np.arange(5), 6)
    keys = unit(centres[labels] + 1.2 * random.standard_normal((30, 16)))
    texts = unit(centres + 1.5 * random.standard_normal((5, 16)))
    target = np.repeat(np.arange(5), 8)
    held = unit(centres[target] + 1.2 * random.standard_normal((40, 16)))
    asked = unit(random.standard_normal((4, 16)))

    (alpha, beta), logits = OFFICIAL[dataset, finetune]
    method, (search, known) = TipAdapter(finetune=finetune), _search_of(dataset)
    assert known
    task = few_shot()
    empty = TipAdapter(alpha=search.alpha, beta=1.0).build(task, rng=Stream(0))
    cache = dataclasses.replace(
        empty, keys=keys, columns=torch.from_numpy(labels), counts=torch.full((5,), 6), texts=texts
    )
    cache = method._trained(cache, search, Stream(0))
    found = method._choose(cache, held, torch.from_numpy(target), search)
    assert found == pytest.approx((alpha, beta, 4000))
    scored = method.score(dataclasses.replace(cache, alpha=found[0], beta=found[1]), asked)
    np.testing.assert_allclose(scored.numpy(), logits, rtol=0, atol=1e-5 * np.abs(logits).max())


def test_equals_the_formula() -> None:
    task, asked = few_shot(), queries().double().numpy()
    close(scores("tip-adapter", task, queries(), alpha=1.17, beta=1.0), naive(task, asked, 1.17, 1.0), 1e-4)
    close(scores("tip-adapter", task, queries(), alpha=3.0, beta=5.5), naive(task, asked, 3.0, 5.5), 1e-4)


def test_without_texts_only_the_cache_speaks_and_the_record_says_so() -> None:
    task, method = few_shot(texts=False), make("tip-adapter", alpha=1.17, beta=5.5)
    state = method.build(task, rng=Stream(0))
    close(method.score(state, queries()), naive(task, queries().double().numpy(), 1.17, 5.5, zero_shot=False))
    assert method.describe(state)["zero_shot_term"] is False


@pytest.mark.parametrize(
    ("dataset", "start", "ends", "told"),
    [
        ("fgvc_aircraft", 5.0, (30, 30), "of the data set"),
        ("oxford-flowers", 10.0, (50, 50), "of the data set"),
        ("sun397", 1.17, (10, 12), "of the data set"),
        ("our photographs", 1.17, (30, 30), "stated for others"),
    ],
)
def test_alpha_and_beta_are_the_first_best_of_the_data_sets_own_range(
    dataset: str, start: float, ends: tuple[float, float], told: str
) -> None:
    task = dataclasses.replace(few_shot(), dataset=dataset)
    # Texts that are off make the cache matter.
    task = dataclasses.replace(task, prompts=dataclasses.replace(task.prompts, x=task.prompts.x.flip(0)))
    method = make("tip-adapter", alpha_steps=3, beta_steps=5)
    state = method.build(task, rng=Stream(0))
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=4)
    rest = dataclasses.replace(task, support=task.support.take(~test))
    x, target = task.support.x[test].double().numpy(), task.columns(task.support.labels)[test].numpy()
    alphas, betas = ([i * (end - 0.1) / n + 0.1 for i in range(n)] for end, n in zip(ends, (3, 5), strict=True))
    grid = [(a, b) for b in betas for a in alphas]
    right = [int((naive(rest, x, a, b).argmax(1) == target).sum()) for a, b in grid]
    assert (state.alpha, state.beta) == pytest.approx(grid[right.index(max(right))])
    assert method.describe(state)["range"] == told
    assert state.held_out == int(test.sum())
    # With one image a class there is nothing to choose on: they stay where the search starts.
    first = torch.tensor([int((task.support.labels == c).nonzero()[0]) for c in task.classes])
    one = method.build(dataclasses.replace(task, support=task.support.take(first)), rng=Stream(0))
    assert (one.alpha, one.beta, one.held_out) == (start, 1.0, 0)


def test_without_texts_ties_go_to_the_largest_beta() -> None:
    task = few_shot(texts=False)
    rows = torch.cat([(task.support.labels == c).nonzero()[:2, 0] for c in task.classes])
    state = make("tip-adapter", beta_steps=5).build(
        dataclasses.replace(task, support=task.support.take(rows)), rng=Stream(0)
    )
    assert state.beta == pytest.approx(4 * (30 - 0.1) / 5 + 0.1)


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
