"""Heads without one item, in closed form, against heads that are fitted without it; and what one edit changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.features import Features
from bench.core.task import Task
from bench.functional.certificates_of_heads import relabellings_of_weighed_votes
from bench.functional.classwise import class_votes, normalise
from bench.functional.item_values import left_out_margins
from bench.functional.left_out import covariance_left_out, means_left_out, ridge_left_out
from bench.methods.knn import KNN
from bench.methods.protonet import ProtoNet
from bench.methods.ranpac import RanPAC
from bench.methods.slda import SLDA
from bench.methods.visual_memory import VisualMemory
from bench.utils.random import Stream
from tests import toy

C, N, D = 4, 23, 16


def problem(seed: int) -> tuple[Tensor, Tensor]:
    """Return items [n, d] of unit norm and their classes; class 3 has one item."""
    draw = Stream(seed).child("left out").numpy()
    columns = torch.tensor([*draw.integers(0, 3, N - 1).tolist(), 3])
    x = torch.from_numpy(draw.standard_normal((N, D))).float() + torch.nn.functional.one_hot(columns, D)
    return normalise(x), columns


def task(x: Tensor, columns: Tensor) -> Task:
    made = toy.task(classes=tuple(range(C)), images=False, texts=False)
    support = Features(x, columns, np.array([f"i{n}" for n in range(len(x))]), made.support.class_names)
    return replace(made, support=support)


def scored(method: Any, x: Tensor, columns: Tensor, queries: Tensor) -> Tensor:
    state = method.build(task(x, columns), rng=Stream(0))
    found: Tensor = method.score(state, queries).double()
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("method", "closed"),
    [
        (ProtoNet(temperature=1.0), lambda x, y: means_left_out(x, y, C)),
        (SLDA(shrinkage=0.1), lambda x, y: covariance_left_out(x, y, C, 0.1)),
    ],
)
def test_scores_without_an_item_are_those_of_a_head_fitted_without_it(
    method: Any, closed: Callable[[Tensor, Tensor], Tensor], seed: int
) -> None:
    x, columns = problem(seed)
    found = closed(x, columns)
    for i in range(N):
        keep = torch.arange(N) != i
        expected = scored(method, x[keep], columns[keep], x[i : i + 1])[0]
        torch.testing.assert_close(found[i], expected, atol=1e-4, rtol=1e-4)


def test_ridge_without_a_row_is_ridge_fitted_without_it() -> None:
    x, columns = problem(5)
    y = torch.nn.functional.one_hot(columns, C).double()
    found = ridge_left_out(x, y, 0.3)
    for i in range(N):
        keep = torch.arange(N) != i
        wide = x[keep].double()
        weights = torch.linalg.solve(wide.T @ wide + 0.3 * torch.eye(D, dtype=torch.float64), wide.T @ y[keep])
        torch.testing.assert_close(found[i], x[i].double() @ weights, atol=1e-9, rtol=1e-9)


def test_margins_are_those_of_the_scores_without_the_item() -> None:
    x, columns = problem(1)
    scores = means_left_out(x, columns, C)
    own = scores.gather(1, columns.unsqueeze(1)).squeeze(1)
    best = scores.scatter(1, columns.unsqueeze(1), -torch.inf).amax(1)
    margins = left_out_margins(x, columns, C)
    torch.testing.assert_close(margins[:-1], (own - best)[:-1])
    assert torch.isnan(margins[-1])


def queries_of(seed: int) -> Tensor:
    return normalise(torch.from_numpy(Stream(seed).child("asked").numpy().standard_normal((40, D))).float() + 0.3)


@pytest.mark.parametrize(
    "method",
    [
        SLDA(shrinkage=0.1),
        RanPAC(width=64, penalty=1.0),
        VisualMemory(k=5),
        VisualMemory(k=7, vote="plurality"),
        VisualMemory(k=50, vote="softmax"),
    ],
)
def test_one_removal_changes_exactly_the_answers_that_it_says(method: Any) -> None:
    x, columns = problem(2)
    queries = queries_of(2)
    given = task(x, columns)
    found = method.certify(method.build(given, rng=Stream(0)), given, queries, "remove", 1)
    before = scored(method, x, columns, queries).argmax(1)
    changed = torch.zeros(len(queries), dtype=torch.bool)
    for i in range(N):
        keep = torch.arange(N) != i
        changed |= scored(method, x[keep], columns[keep], queries).argmax(1) != before
    assert bool(found.exact.all())
    assert 0 < int(changed.sum()) < len(queries)
    assert ((found.least == 1) == changed).all()
    beyond = method.certify(method.build(given, rng=Stream(0)), given, queries, "remove", 8)
    assert (beyond.exact == (found.least == 1)).all()
    assert beyond.least.max() == 2


@pytest.mark.parametrize("method", [ProtoNet(), KNN(k=5, temperature=0.3)])
def test_relabelled_items_change_no_answer_before_the_bound(method: Any) -> None:
    """All relabellings of one item, and of two, of a memory of twelve."""
    x, columns = problem(3)
    x, columns = x[-12:], columns[-12:]
    queries = queries_of(3)
    given = task(x, columns)
    found = method.certify(method.build(given, rng=Stream(0)), given, queries, "relabel", 2)
    before = scored(method, x, columns, queries).argmax(1)
    least = torch.full((len(queries),), 3)
    for i in range(len(x)):
        for j in range(i, len(x)):
            for b in range(C):
                other = columns.clone()
                other[[i, j]] = b
                changed = scored(method, x, other, queries).argmax(1) != before
                least[changed] = torch.minimum(least[changed], torch.tensor(int((other != columns).sum())))
    assert (found.least <= least).all()
    assert (found.least[found.exact & (found.least < 3)] == least[found.exact & (found.least < 3)]).all()
    assert (found.least == 1).eq(least == 1).all()
    assert len(set(least.tolist())) > 1


def test_a_bound_of_relabelled_votes_is_exact_where_it_is_said() -> None:
    draw = Stream(7).child("votes").numpy()
    columns = torch.from_numpy(draw.integers(0, 3, (200, 6)))
    weights = torch.from_numpy(np.sort(draw.uniform(0.1, 1, (200, 6)))[:, ::-1].copy())
    least, exact = relabellings_of_weighed_votes(columns, weights, 3, 2)
    before = class_votes(columns, weights, 3).argmax(1)
    true = torch.full((200,), 3)
    for i in range(6):
        for j in range(6):
            for a in range(3):
                for b in range(3):
                    other = columns.clone()
                    other[:, i], other[:, j] = a, b
                    changed = class_votes(other, weights, 3).argmax(1) != before
                    true[changed] = torch.minimum(true[changed], (other != columns).sum(1)[changed])
    assert (least <= true).all()
    assert (least == true)[exact].all()
    assert exact.float().mean() > 0.9
