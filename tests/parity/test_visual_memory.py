import dataclasses
import math

import numpy as np
import pytest
import torch

from bench.core.memory import Items, Memory
from bench.core.task import Task
from bench.functional.classwise import class_votes, neighbour_votes
from bench.learning.pruning import misleading_counts
from bench.methods.visual_memory import excluded, relabelled
from bench.utils.errors import BenchError
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import CLASSES, few_shot, make, queries, scores

WEIGHT = {
    "plurality": lambda similarity, rank: 1.0,
    "distance": lambda similarity, rank: math.exp(-(1 - similarity)),
    "softmax": lambda similarity, rank: math.exp(similarity / 0.07),
    "rank": lambda similarity, rank: 1 / (rank + 2),
}


def mixed() -> Task:
    """Return a task whose memory holds wrong labels: each tenth item says the next class."""
    task = toy.task(CLASSES, support=False)
    images = task.memory.images
    labels = images.labels.clone()
    labels[::5] = torch.tensor(CLASSES)[(task.columns(labels[::5]) + 1) % 3]
    return dataclasses.replace(task, memory=task.memory.replace(images=dataclasses.replace(images, labels=labels)))


@pytest.mark.parametrize("vote", list(WEIGHT))
@pytest.mark.parametrize("k", [1, 5, 100])
def test_votes_equal_a_loop(vote: str, k: int) -> None:
    task = mixed()
    items = task.memory.images
    found = scores("visual-memory", task, queries(), vote=vote, k=k)
    for row, query in enumerate(queries()):
        similarity = (items.x / items.x.norm(dim=1, keepdim=True)) @ query
        expected = [0.0, 0.0, 0.0]
        for rank, at in enumerate(similarity.argsort(descending=True)[:k].tolist()):
            expected[CLASSES.index(int(items.labels[at]))] += WEIGHT[vote](float(similarity[at]), rank)
        # Ties are decided by up to 1e-12 of the largest vote.
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-4, atol=1e-11 * max(expected))


def test_a_tie_goes_to_the_class_that_got_there_first() -> None:
    columns = torch.tensor([[2, 0, 0, 2], [0, 2, 2, 0], [1, 2, 2, 1]])
    votes = neighbour_votes(columns, torch.ones(3, 4), 3)
    assert votes.argmax(1).tolist() == [2, 0, 1]
    torch.testing.assert_close(votes, torch.tensor([[2.0, 0, 2], [2, 0, 2], [0, 2, 2]], dtype=torch.float64))


def test_a_silenced_neighbour_decides_no_tie() -> None:
    task, method = few_shot(), make("visual-memory", vote="plurality", k=3)
    state = method.build(task, rng=Stream(0))
    asked = queries()
    found = state.items.index.search(asked, 3)
    labels = state.columns()[found.positions]
    row = int(((labels[:, 0] == labels[:, 2]) & (labels[:, 0] != labels[:, 1])).nonzero()[0])
    weights = torch.ones_like(state.weights)
    weights[found.positions[row, 0]] = 0
    state = dataclasses.replace(state, weights=weights)
    votes = method.score(state, asked[row : row + 1])[0]
    assert int(votes.argmax()) == int(labels[row, 1])
    assert votes[labels[row, 1]] - votes[labels[row, 0]] < 1e-11


@pytest.mark.parametrize(("q", "k", "n_classes"), [(700, 20, 1000), (3, 5, 4), (0, 4, 3), (5, 0, 3)])
def test_votes_of_many_queries_are_those_of_each_alone(q: int, k: int, n_classes: int) -> None:
    random = Stream(0).numpy()
    columns = torch.from_numpy(random.integers(min(n_classes, 7), size=(q, k)))
    weights = torch.from_numpy(random.integers(3, size=(q, k))).float()
    counts, expected = torch.zeros(q, n_classes), torch.zeros(q, n_classes, dtype=torch.float64)
    for row in range(q):
        for chosen, weight in zip(columns[row].tolist(), weights[row].tolist(), strict=True):
            counts[row, chosen] += weight
        share = 1e-12 / max(1, k) * float(counts[row].max())
        for c in range(n_classes):
            first = columns[row].tolist().index(c) if c in columns[row] else k
            expected[row, c] = float(counts[row, c]) - first * share
    assert torch.equal(class_votes(columns, weights, n_classes), counts)
    assert torch.equal(neighbour_votes(columns, weights, n_classes), expected)


def naive_counts(items: Items, k: int) -> list[int]:
    counts = [0] * len(items)
    unit = items.x / items.x.norm(dim=1, keepdim=True)
    for a in range(len(items)):
        order = [b for b in (unit @ unit[a]).argsort(descending=True).tolist() if b != a][:k]
        for b in order:
            counts[b] += int(items.labels[b] != items.labels[a])
    return counts


@pytest.mark.parametrize("k", [3, 10, 500])
def test_counts_of_misleading_items_equal_a_loop(k: int) -> None:
    items = mixed().memory.images
    assert misleading_counts(items, k, items.index.search).tolist() == naive_counts(items, k)


def test_soft_pruning_weighs_by_the_counts() -> None:
    task = mixed()
    state = make("visual-memory", pruning="soft").build(task, rng=Stream(0))
    expected = [1.75 / (1 + n) for n in naive_counts(task.memory.images, 10)]
    np.testing.assert_allclose(state.weights.numpy(), expected, rtol=1e-6)


def test_hard_pruning_silences_items_and_is_ignored_where_none_is_left() -> None:
    task = mixed()
    method = make("visual-memory", pruning="hard", hard_count=8, k=5)
    state = method.build(task, rng=Stream(0))
    counts = naive_counts(task.memory.images, 5)
    assert 0 < method.describe(state)["pruned"] < len(counts)
    assert state.weights.tolist() == [float(n < 8) for n in counts]
    all_silenced = dataclasses.replace(state, weights=torch.zeros_like(state.weights))
    plain = make("visual-memory", k=5)
    expected = plain.score(plain.build(task, rng=Stream(0)), queries())
    torch.testing.assert_close(method.score(all_silenced, queries()), expected)


def test_excluding_and_relabelling_change_the_answer_as_a_memory_edited_by_hand_does() -> None:
    task = mixed()
    items, method = task.memory.images, make("visual-memory", k=5)
    state = method.build(task, rng=Stream(0))
    gone, moved = items.ids[:3].tolist(), {str(items.ids[4]): 9, str(items.ids[5]): 9}
    labels = items.labels.clone()
    labels[4:6] = 9
    by_hand = dataclasses.replace(items, labels=labels).take(~np.isin(items.ids, gone))
    expected = scores(
        "visual-memory", dataclasses.replace(task, memory=task.memory.replace(images=by_hand)), queries(), k=5
    )
    edited = excluded(relabelled(state, moved), gone)
    torch.testing.assert_close(method.score(edited, queries()), expected)
    asked = scores("visual-memory", task, queries(), k=5, exclude=tuple(gone), relabel=moved)
    torch.testing.assert_close(asked, expected)
    assert not torch.allclose(method.score(state, queries()), expected)


def test_an_answer_is_explained_by_its_neighbours_also_after_exclusions() -> None:
    task, method = mixed(), make("visual-memory", k=4)
    state = excluded(method.build(task, rng=Stream(0)), task.memory.images.ids[:7].tolist())
    query = queries()[0]
    evidence = method.explain(state, task, query).neighbours
    assert len(evidence) == 4
    votes = [sum(e.weight for e in evidence if e.label == c) for c in CLASSES]
    np.testing.assert_allclose(method.score(state, query.unsqueeze(0))[0].numpy(), votes, atol=1e-9)
    # Positions after an exclusion are those of the smaller memory; ids and labels must still belong together.
    items = task.memory.images
    truth = dict(zip(items.ids.tolist(), items.labels.tolist(), strict=True))
    assert all(truth[e.item] == e.label for e in evidence)


def test_unknown_items_and_classes_are_refused() -> None:
    state = make("visual-memory").build(mixed(), rng=Stream(0))
    with pytest.raises(BenchError, match="no item 'nobody'"):
        excluded(state, ["nobody"])
    with pytest.raises(BenchError, match="relabel an item to class 4"):
        relabelled(state, {str(state.items.ids[0]): 4})


def test_support_serves_where_there_is_no_memory() -> None:
    task = dataclasses.replace(few_shot(), memory=Memory.empty(toy.DIMENSION))
    assert make("visual-memory").describe(make("visual-memory").build(task, rng=Stream(0)))["k_used"] == 18
