"""Statistics, hold-out and texts that methods share, against naive definitions."""

import dataclasses

import numpy as np
import pytest
import torch

from bench.functional.classwise import drop_self
from bench.functional.gaussian import Moments, Scatter, solve_low_rank
from bench.learning.class_texts import class_texts, prompt_matrix
from bench.learning.holdout import hold_out
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import CLASSES


def rows(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream(seed).numpy().standard_normal((n, d)))


def scatter_of(x: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    parts = [x[columns == c] - x[columns == c].mean(0) for c in columns.unique().tolist()]
    return sum((p.T @ p for p in parts), start=torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype))


def test_moments_give_means_and_scatter_and_are_additive() -> None:
    x, columns = rows(30, 5), torch.arange(30) % 3
    whole = Moments.of(x, columns, 4)
    torch.testing.assert_close(whole.scatter(), scatter_of(x, columns))
    torch.testing.assert_close(whole.means()[1], x[columns == 1].mean(0))
    assert torch.equal(whole.means()[3], torch.zeros(5, dtype=torch.float64))
    parts = Moments.of(x[:9], columns[:9], 3).plus(Moments.of(x[9:], columns[9:], 4))
    torch.testing.assert_close(parts.scatter(), whole.scatter())
    torch.testing.assert_close(whole.minus(Moments.of(x[:9], columns[:9], 4)).scatter(), scatter_of(x[9:], columns[9:]))


@pytest.mark.parametrize("d", [4, 50])
def test_scatter_factors_add_up_class_by_class(d: int) -> None:
    x, columns = rows(30, d), torch.arange(30) % 3
    both = Scatter.of(x[:13], columns[:13], 3).plus(Scatter.of(x[13:], columns[13:], 4))
    for state in (both, both.reduced()):
        for c in range(3):
            f = state.factor[state.columns == c]
            torch.testing.assert_close(f.T @ f, scatter_of(x[columns == c], torch.zeros(10)))
    torch.testing.assert_close(both.moments().scatter(), scatter_of(x, columns))
    torch.testing.assert_close(both.means[2], x[columns == 2].mean(0))


@pytest.mark.parametrize("r", [3, 20])
def test_low_rank_solution_is_that_of_the_full_matrix(r: int) -> None:
    f, b = rows(r, 8), rows(2, 8, 1)
    expected = b @ torch.linalg.inv(f.T @ f + 0.1 * torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(solve_low_rank(f, 0.1, b), expected)


def test_a_query_is_dropped_from_its_own_neighbours_wherever_it_stands() -> None:
    positions = torch.tensor([[4, 7, 2], [7, 4, 2], [7, 2, 4], [7, 2, 5]])
    assert drop_self(positions, positions == 4).tolist() == [[7, 2], [7, 2], [7, 2], [7, 2]]
    assert drop_self(positions[:, :1], positions[:, :1] == 4).tolist() == [[4], [7], [7], [7]]


def test_hold_out_takes_at_most_half_of_a_class_whatever_the_order_and_the_other_classes() -> None:
    columns = torch.tensor([0] * 1 + [1] * 2 + [2] * 5 + [3] * 40)
    ids = np.array([f"image {n}" for n in range(len(columns))])
    mask = hold_out(columns, ids, limit=4)
    assert [int(mask[columns == c].sum()) for c in range(4)] == [0, 1, 2, 4]
    assert [int(hold_out(columns, ids, share=0.2)[columns == c].sum()) for c in range(4)] == [0, 1, 1, 8]
    order = torch.from_numpy(Stream(2).permutation(len(columns)))
    assert torch.equal(hold_out(columns[order], ids[order.numpy()], limit=4), mask[order])
    alone = columns == 3
    assert torch.equal(hold_out(columns[alone], ids[alone.numpy()], limit=4), mask[alone])


def test_class_texts_are_prompts_then_means_of_sentences_then_nothing() -> None:
    task = toy.task(CLASSES)
    sentences = task.memory.texts
    task = dataclasses.replace(
        task,
        prompts=task.prompts.take(task.prompts.labels == 3),
        memory=task.memory.replace(texts=sentences.take(sentences.labels != 9)),
    )
    found, has = class_texts(task)
    mean = sentences.x[sentences.labels == 7].mean(0)
    assert has.tolist() == [True, True, False]
    torch.testing.assert_close(found[0], mean / mean.norm(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1], task.prompts.x[0])
    assert not found[2].any()
    assert prompt_matrix(task) is None
    whole = prompt_matrix(toy.task(CLASSES))
    assert whole is not None
    torch.testing.assert_close(whole[0], toy.dataset().prompts.of_classes([7]).x[0])
