import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.core.task import Task
from bench.encoders.load import load_encoder
from bench.utils.errors import BenchError
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
    assert torch.equal(state.texts[state.columns].norm(dim=1) > 0, state.items.labels != 3)
    assert torch.isfinite(method.score(state, queries())).all()


class Images:
    """The bundled encoder's images, of which no pixel is asked for here."""

    encoder = "glyphs"
    read: ClassVar[dict[str, Any]] = {}

    def check(self) -> None: ...

    def pixels(self, ids: np.ndarray) -> torch.Tensor:
        raise AssertionError


def test_joined_names_of_the_neighbours_are_encoded_where_their_encoder_is_at_hand() -> None:
    coder = load_encoder("glyphs")
    names = ("LATIN SMALL LETTER A", "GREEK SMALL LETTER OMEGA", "DIGIT FIVE")
    d = int(coder.encode_texts(["x"]).x.shape[1])
    random = Stream(0).numpy()
    x = torch.from_numpy(random.standard_normal((12, d))).float()
    labels = torch.arange(12) % 3
    support = Features(x, labels, np.array([f"i{n}" for n in range(12)]), names)
    prompts = Features(coder.encode_texts(list(names)).x.float(), torch.arange(3), np.array(["a", "b", "c"]), names)
    task = Task(
        classes=(0, 1, 2), class_names=names, support=support, memory=Memory.empty(d), prompts=prompts,
        pictures=Images(),
    )  # fmt: skip
    method = make("rac", k=3, steps=5)
    state = method.build(task, rng=Stream(0))
    told = method.describe(state)
    assert told["names_encoded_as"] == "the joined class names"
    assert told["share_of_texts_cut"] == 0
    long = make("rac", k=12, steps=1)
    assert long.describe(long.build(task, rng=Stream(0)))["share_of_texts_cut"] == 1
    asked = torch.from_numpy(random.standard_normal((4, d))).float()
    asked = asked / asked.norm(dim=1, keepdim=True)
    for query, row in zip(asked, method.score(state, asked), strict=True):
        near = (x / x.norm(dim=1, keepdim=True) @ query).argsort(descending=True)[:3]
        (said,) = coder.encode_texts([", ".join(names[int(labels[at])] for at in near)]).x.float()
        expected = 16 * (state.head.weights @ query + state.head.weights @ said + 2 * state.head.biases)
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)
    shares = method.explain(state, task, asked[0])
    assert [near.weight for near in shares.neighbours] == pytest.approx([1 / 3] * 3)
    averaged = make("rac", k=3, steps=5, names="averaged")
    assert averaged.describe(averaged.build(task, rng=Stream(0)))["names_encoded_as"] == "mean of the class texts"
    with pytest.raises(BenchError, match="names=encoded needs the encoder of the features"):
        make("rac", names="encoded").build(dataclasses.replace(task, pictures=None), rng=Stream(0))
