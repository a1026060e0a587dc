import dataclasses

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import Task
from tests.parity._naive import by_class, close, few_shot, make, queries, scores


def naive(classes: list[np.ndarray], asked: np.ndarray, g1: float, g2: float, times: int, unit: bool) -> np.ndarray:
    found = []
    for x in classes:
        s = np.cov(x, rowvar=False)
        d = len(s)
        for _ in range(times):
            off = (s.sum() - np.trace(s)) / (d * (d - 1))
            s = s + g1 * np.trace(s) / d * np.eye(d) + g2 * off * (1 - np.eye(d))
        s = s / np.sqrt(np.outer(np.diag(s), np.diag(s)))
        mean = x.mean(0) / (np.linalg.norm(x.mean(0)) if unit else 1)
        gap = asked - mean
        found.append(-np.einsum("qd,de,qe->q", gap, np.linalg.inv(s), gap))
    return np.stack(found, 1)


OFFICIAL = {
    # models/base.py and utils/maha_utils.py with tukey=False, alpha1=alpha2=1, as exps/FeCAM_cifar100.json has these.
    "fecam-official": [
        [2.576373, 1.5992786, 1.885581, 2.1716738],
        [1.6373904, 2.0309854, 3.00211, 2.5404716],
        [1.162935, 1.5476329, 1.457109, 2.4930644],
        [2.4531968, 2.0160866, 1.6148449, 1.7427704],
        [1.8342818, 1.2806842, 1.1057382, 2.1414816],
    ],
    # FeCAM_vit_cifar100.py
    "fecam-official-vit": [
        [2.90891387, 1.5519095, 1.8794396, 2.37483342],
        [1.7794573, 2.17500425, 3.54262082, 3.07275337],
        [0.99249349, 1.66950558, 1.54335435, 2.85635658],
        [2.27555149, 2.3308241, 1.41395604, 1.95482135],
        [1.86430979, 1.38646611, 1.08427435, 2.4445183],
    ],
}
"""Distances that dipamgoswami/FeCAM gave at commit d2479b7 for the inputs below."""


@pytest.mark.parametrize("name", list(OFFICIAL))
def test_distances_are_those_of_the_official_code(name: str) -> None:
    random = np.random.default_rng(7)
    labels = np.repeat(np.arange(4), 9)
    x = random.standard_normal((4, 12))[labels] + 0.7 * random.standard_normal((36, 12))
    asked = random.standard_normal((5, 12))
    x, asked = (torch.from_numpy(a / np.linalg.norm(a, axis=1, keepdims=True)).float() for a in (x, asked))
    names = tuple("abcd")
    task = Task(
        classes=(0, 1, 2, 3), class_names=names,
        support=Features(x, torch.from_numpy(labels), np.array([f"i{n}" for n in range(36)]), names),
        memory=Memory.empty(12), prompts=Features.empty(12, names),
    )  # fmt: skip
    assert make(name).about.fidelity == "faithful"
    close(scores(name, task, asked), -np.array(OFFICIAL[name]), 1e-5)


@pytest.mark.parametrize(
    ("name", "g1", "g2", "times", "unit"),
    [
        ("fecam", 100.0, 0.0, 1, True),
        ("fecam-official", 1.0, 1.0, 2, True),
        ("fecam-official-vit", 1.0, 0.0, 1, False),
    ],
)
def test_equals_the_formula(name: str, g1: float, g2: float, times: int, unit: bool) -> None:
    task = few_shot()
    expected = naive(by_class(task), queries().double().numpy(), g1, g2, times, unit)
    close(scores(name, task, queries()), expected, 1e-4)


def test_equals_the_formula_with_more_images_than_dimensions() -> None:
    from tests import toy

    names = tuple(f"class {c}" for c in range(10))
    task = dataclasses.replace(few_shot(), support=toy.cloud([7, 3, 9], 40, names, "many"))
    expected = naive(by_class(task), queries().double().numpy(), 1.0, 1.0, 2, True)
    close(scores("fecam-official", task, queries()), expected, 1e-4)


def test_one_image_a_class_is_nearest_mean() -> None:
    task = few_shot()
    first = torch.tensor([int((task.support.labels == c).nonzero()[0]) for c in task.classes])
    task = dataclasses.replace(task, support=task.support.take(first))
    close(scores("fecam", task, queries()), -torch.cdist(queries(), task.support.x).square().double().numpy())
