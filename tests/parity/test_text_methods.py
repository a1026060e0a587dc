"""text-memory and text-knn against loops over sentences and neighbours."""

from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.core.features import Features
from bench.core.memory import Memory
from bench.encoders.load import load_encoder
from bench.functional.classwise import normalise
from bench.learning.class_texts import prompt_matrix
from bench.methods import text_memory
from bench.methods.text_knn import _folds, first_met
from bench.utils.errors import Unsuitable
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import close, few_shot, make, queries, scores


def sentences(task):
    x = task.memory.texts.x.double().numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return [x[task.memory.texts.labels.numpy() == c] for c in task.classes]


def test_cupl_is_a_normalised_mean_and_dclip_a_mean_of_cosines() -> None:
    task, asked = toy.task(), queries().double().numpy()
    means = [rows.mean(0) for rows in sentences(task)]
    close(
        scores("text-memory", task, queries()), np.stack([100 * asked @ m / np.linalg.norm(m) for m in means], 1), 1e-4
    )
    cosines = np.stack([100 * (asked @ rows.T).mean(1) for rows in sentences(task)], 1)
    close(scores("text-memory-dclip", task, queries()), cosines, 1e-4)


def test_shuffled_sentences_say_nothing_of_classes() -> None:
    task = toy.task()
    state = make("text-memory-shuffled").build(task, rng=Stream(0))
    assert state.counts.tolist() == [3, 3, 3]
    again = make("text-memory-shuffled").build(task, rng=Stream(1))
    assert not torch.equal(state.vectors, again.vectors)


def test_a_class_without_sentences_is_scored_by_its_class_text() -> None:
    task = toy.task()
    some = task.memory.replace(texts=task.memory.texts.of_classes([7, 9]))
    found = scores("text-memory", task.__class__(**{**vars(task), "memory": some}), queries())
    torch.testing.assert_close(found[:, 1], 100 * queries() @ prompt_matrix(task)[1], atol=1e-4, rtol=1e-5)


class Sight:
    """Pictures of the bundled encoder, of which no pixel is asked for here."""

    encoder = "glyphs"
    read: ClassVar[dict[str, Any]] = {}

    def check(self) -> None: ...

    def pixels(self, ids: np.ndarray) -> torch.Tensor:
        raise AssertionError(ids)


def test_waffle_is_the_mean_of_cosines_to_random_descriptors_alike_for_all_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coder, read = load_encoder("glyphs"), []

    class Heard:
        def encode_texts(self, texts: list[str]) -> Any:
            read.append(texts)
            return coder.encode_texts(texts)

    monkeypatch.setattr(text_memory, "loaded", lambda encoder: Heard())
    small = toy.task(support=False, images=False)
    d = int(coder.encode_texts(["x"]).x.shape[1])
    prompts = Features(
        torch.zeros(0, d), torch.zeros(0, dtype=torch.int64), np.array([], dtype=np.str_), small.class_names
    )
    task = replace(small, support=prompts, prompts=prompts, memory=Memory.empty(d), pictures=Sight())
    method = make("text-memory", form="waffle")
    state = method.build(task, rng=Stream(0))
    (texts,) = read
    assert len(texts) == 3 * 30
    by_class = [texts[30 * n : 30 * n + 30] for n in range(3)]
    descriptors = [[text.partition(", which has ")[2] for text in one] for one in by_class]
    assert descriptors[0] == descriptors[1] == descriptors[2]
    assert len(set(descriptors[0])) == 30
    for name, one in zip(task.class_names, by_class, strict=True):
        assert all(text.startswith(f"A photo of a {name}, which has ") for text in one)
    asked = normalise(torch.from_numpy(Stream(4).numpy().standard_normal((5, d))).float())
    unit = [normalise(coder.encode_texts(one).x.float()) for one in by_class]
    expected = torch.stack([100 * (asked @ one.T).mean(1) for one in unit], 1)
    torch.testing.assert_close(method.score(state, asked), expected, atol=1e-4, rtol=1e-4)
    assert method.describe(state) == {"fewest_texts": 30, "most_texts": 30}
    method.build(task, rng=Stream(1))
    assert read[1] != texts


def test_waffle_needs_the_text_encoder() -> None:
    with pytest.raises(Unsuitable, match="needs the text encoder, and the data set has features only"):
        make("text-memory", form="waffle").build(toy.task(), rng=Stream(0))


def test_ties_go_to_the_class_met_first_from_the_nearest() -> None:
    for row in ([0, 1, 1, 0], [2, 1, 1, 2, 0], [1, 0, 0, 2], [0]):
        expected = Counter(row).most_common(1)[0][0]
        assert int(first_met(torch.tensor([row]), 3).argmax()) == expected


def test_text_knn_equals_the_rule() -> None:
    task = few_shot()
    x, columns = normalise(task.support.x).numpy(), task.columns(task.support.labels).numpy()
    texts, folds, k = prompt_matrix(task).numpy(), _folds(task.columns(task.support.labels), task.labelled).numpy(), 3
    held, said = [], (x @ texts.T).argmax(1)
    for i, row in enumerate(x):
        others = np.flatnonzero(folds != folds[i])
        near = others[np.argsort(-(x[others] @ row), kind="stable")[:k]]
        held.append(Counter(columns[near].tolist()).most_common(1)[0][0])

    def precision(answers, c):
        given = np.asarray(answers) == c
        return (columns[given] == c).mean() if given.any() else -1.0

    expected = []
    for row in queries().numpy():
        near = np.argsort(-(x @ row), kind="stable")[:k]
        by_items, by_text = Counter(columns[near].tolist()).most_common(1)[0][0], int((texts @ row).argmax())
        expected.append(by_items if precision(held, by_items) > precision(said, by_text) else by_text)
    assert scores("text-knn", task, queries(), k=k).argmax(1).tolist() == expected
    assert len(set(folds.tolist())) == 10
