import dataclasses

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bench.core.task import Task
from bench.learning.holdout import hold_out
from bench.utils.random import Stream
from tests.parity._naive import by_class, close, few_shot, make, queries, scores


def naive(task: Task, asked: np.ndarray) -> np.ndarray:
    """Return x w + b of the paper."""
    classes = by_class(task)
    means = np.stack([x.mean(0) for x in classes])
    centred = np.concatenate([x - m for x, m in zip(classes, means, strict=True)])
    (n, d), s = centred.shape, np.cov(centred, rowvar=False)
    precision = d * np.linalg.pinv((n - 1) * s + np.trace(s) * np.eye(d))
    return asked @ precision @ means.T - np.log(len(means)) - np.einsum("cd,de,ce->c", means, precision, means) / 2


@pytest.mark.parametrize("alpha", [0.0, 0.1, 3.0])
def test_equals_the_formula(alpha: float) -> None:
    task, asked = few_shot(), queries().double().numpy()
    texts = np.stack([task.prompts.x[task.prompts.labels == c][0].double().numpy() for c in task.classes])
    close(scores("gda", task, queries(), alpha=alpha), 100 * asked @ texts.T + alpha * naive(task, asked), 1e-4)


def test_without_texts_the_zero_shot_term_is_left_out_and_the_record_says_so() -> None:
    task = few_shot(texts=False)
    close(scores("gda", task, queries()), naive(task, queries().double().numpy()))
    method = make("gda")
    assert method.describe(method.build(task, rng=Stream(0)))["zero_shot_term"] is False


def test_some_classes_without_text_leave_the_term_out_for_all() -> None:
    task = few_shot()
    task = dataclasses.replace(task, prompts=task.prompts.take(task.prompts.labels != 9))
    close(scores("gda", task, queries()), naive(task, queries().double().numpy()))


def test_orders_classes_as_scikit_learn_with_the_same_shrunk_covariance() -> None:
    task = few_shot(texts=False)
    classes = by_class(task)
    n, d = sum(map(len, classes)), classes[0].shape[1]
    # (n - 1) S + tr(S) I with tr(S) = trace / (n - 1) is, up to a factor, scikit-learn's (1 - s) S' + s tr(S') / d I
    # with S' = scatter / n and s / (1 - s) = d / (n - 1). Its lsqr solver standardises first, eigen does not.
    s = d / (n - 1) / (1 + d / (n - 1))
    reference = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=Pooled(s), priors=[1 / len(classes)] * len(classes)
    )
    reference.fit(task.support.x.double().numpy(), task.columns(task.support.labels).numpy())
    assert (scores("gda", task, queries()).argmax(1).numpy() == reference.predict(queries().double().numpy())).all()


class Pooled:
    """(1 - s) S + s tr(S) / d I of one class; the classes have equal sizes, so their mean is that of the pooled S."""

    def __init__(self, s: float) -> None:
        self.s = s

    def fit(self, x: np.ndarray, y: object = None) -> "Pooled":
        c = np.cov(x, rowvar=False, bias=True)
        self.covariance_ = (1 - self.s) * c + self.s * np.trace(c) / len(c) * np.eye(len(c))
        return self


def test_one_image_a_class_is_nearest_mean() -> None:
    task = few_shot(texts=False)
    first = torch.tensor([int((task.support.labels == c).nonzero()[0]) for c in task.classes])
    task = dataclasses.replace(task, support=task.support.take(first))
    distances = torch.cdist(queries(), task.support.x)
    assert torch.equal(scores("gda", task, queries()).argmax(1), distances.argmin(1))


def test_alpha_is_chosen_on_held_out_support_and_never_sees_queries() -> None:
    task = few_shot()
    method = make("gda")
    state = method.build(task, rng=Stream(0))
    test = hold_out(task.columns(task.support.labels), task.support.ids, limit=4)
    rest = dataclasses.replace(task, support=task.support.take(~test))
    x, target = task.support.x[test], task.columns(task.support.labels)[test]
    grid = [10.0**p for p in range(-4, 3)]
    right = [int((scores("gda", rest, x, alpha=a).argmax(1) == target).sum()) for a in grid]
    assert state.alpha == grid[right.index(max(right))]
    assert state.held_out == int(test.sum()) == 9
