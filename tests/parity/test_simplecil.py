import dataclasses

import numpy as np
import torch
from sklearn.neighbors import NearestCentroid

from bench.utils.random import Stream
from tests.parity._naive import few_shot, make, queries, scores


def test_equals_the_cosine_to_the_mean_of_raw_features() -> None:
    task = few_shot()
    scale = torch.linspace(1, 9, len(task.support)).unsqueeze(1)
    task = dataclasses.replace(task, support=dataclasses.replace(task.support, x=task.support.x * scale))
    found = scores("simplecil", task, queries())
    for column, label in enumerate(task.classes):
        mean = task.support.x[task.support.labels == label].double().mean(0)
        expected = queries().double() @ (mean / mean.norm())
        torch.testing.assert_close(found[:, column].double(), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, scores("protonet", task, queries(), temperature=1.0), atol=1e-3)


def test_answers_as_nearest_centroid_does_where_means_have_unit_norm() -> None:
    task = few_shot()
    means = np.stack([task.support.x[task.support.labels == c].mean(0).numpy() for c in task.classes])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    reference = NearestCentroid().fit(means, np.array(task.classes))
    answers = torch.tensor(task.classes)[scores("simplecil", task, queries()).argmax(1)]
    assert answers.tolist() == reference.predict(queries().numpy()).tolist()


def test_a_class_without_images_is_never_the_answer() -> None:
    task = few_shot()
    task = dataclasses.replace(task, support=task.support.take(task.support.labels != 3))
    method = make("simplecil")
    found = method.score(method.build(task, rng=Stream(0)), queries())
    assert torch.isinf(found[:, 1]).all()
    assert torch.isfinite(found[:, [0, 2]]).all()
