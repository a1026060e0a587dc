"""text-memory and text-knn against loops over sentences and neighbours."""

from collections import Counter

import numpy as np
import torch

from bench.functional.classwise import normalise
from bench.learning.class_texts import prompt_matrix
from bench.methods.text_knn import _folds, first_met
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
