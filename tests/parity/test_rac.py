import dataclasses

import torch

from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import CLASSES, make, queries


def test_scores_equal_the_formula() -> None:
    task, method = toy.task(CLASSES), make("rac", k=4, steps=5)
    state = method.build(task, rng=Stream(0))
    memory, prompts = task.memory.images, task.prompts
    text = {int(label): x / x.norm() for x, label in zip(prompts.x, prompts.labels, strict=True)}
    for query, row in zip(queries(), method.score(state, queries()), strict=True):
        near = (memory.x / memory.x.norm(dim=1, keepdim=True) @ query).argsort(descending=True)[:4]
        said = torch.stack([text[int(memory.labels[at])] for at in near]).mean(0)
        head = state.head
        expected = 16 * (head.weights @ query + head.weights @ (said / said.norm()) + 2 * head.biases)
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)


def test_a_training_image_never_retrieves_itself() -> None:
    task = toy.task(CLASSES, images=False)
    found = make("rac", k=5)._neighbours_of_others(task.image_memory, task.labelled)
    assert found.shape == (18, 5)
    assert not (found == torch.arange(18).unsqueeze(1)).any()


def test_neighbours_without_a_text_say_nothing_and_are_counted() -> None:
    task = toy.task(CLASSES)
    keep = task.prompts.labels != 3
    texts = task.memory.texts.take(task.memory.texts.labels != 3)
    task = dataclasses.replace(task, prompts=task.prompts.take(keep), memory=task.memory.replace(texts=texts))
    method = make("rac", k=4, steps=5)
    state = method.build(task, rng=Stream(0))
    assert method.describe(state)["classes_without_text"] == 1
    assert torch.equal(state.names.norm(dim=1) > 0, state.items.labels != 3)
    assert torch.isfinite(method.score(state, queries())).all()
