from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.core.memory import Items
from bench.functional.classwise import normalise
from bench.sampling import noise
from bench.utils.errors import BenchError
from bench.utils.random import Stream

N, CLASSES = 600, 6
COLUMNS = torch.arange(N) % CLASSES


def ids(n: int) -> np.ndarray:
    return np.array([f"image {i}" for i in range(n)], dtype=np.str_)


def spoil(kind: str, items: Items, rate: float, rng: Stream) -> noise.Spoilt:
    if kind == "wrong-class":
        return noise.wrong_class(items, sorted(set(items.labels.tolist())), rate, rng=rng)
    return (noise.off_topic if kind == "off-topic" else noise.corrupted)(items, rate, rng=rng)


def memory(m: int = 200, d: int = 12, scale: float = 1.0) -> Items:
    x = normalise(torch.from_numpy(Stream(3).child("items").numpy().standard_normal((m, d)))) * scale
    # Class ids that are neither dense nor sorted, and a dense column is not a class id.
    return Items(
        x, torch.tensor([7, 3, 12, 5])[torch.arange(m) % 4], np.array([f"i{n}" for n in range(m)]), np.full(m, "s")
    )


def different(spoilt: noise.Spoilt, items: Items) -> Tensor:
    return (spoilt.items.x != items.x).any(1) | (spoilt.items.labels != items.labels)


@given(st.integers(0, 300), st.integers(0, 100), st.integers(0, 5))
def test_the_number_of_affected_rows_is_exact_and_nested(n: int, percent: int, seed: int) -> None:
    chosen = noise.affected(ids(n), percent / 100, Stream(seed))
    assert len(chosen) == (2 * n * percent + 100) // 200  # round(n rate), halves up, in whole numbers
    assert len(set(chosen.tolist())) == len(chosen)
    assert set(chosen.tolist()) <= set(range(n))
    assert chosen.tolist() == noise.affected(ids(n), 1.0, Stream(seed)).tolist()[: len(chosen)]


@pytest.mark.parametrize("rate", [-0.1, 1.01, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(BenchError, match="outside 0 to 1"):
        noise.affected(ids(10), rate, Stream(0))


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "pair-flip"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 1.0])
def test_exactly_the_share_of_labels_becomes_wrong(kind: noise.LabelNoise, rate: float) -> None:
    partners = torch.tensor([3, 0, 5, 4, 1, 2])
    matrix = noise.transition(kind, CLASSES, partners=partners)
    made = noise.relabel(COLUMNS, ids(len(COLUMNS)), rate, matrix, rng=Stream(0))
    wrong = (made.labels != COLUMNS).nonzero().squeeze(1)
    assert len(wrong) == round(rate * N)
    assert made.rows.tolist() == wrong.tolist()
    if kind == "asymmetric":
        assert made.labels[wrong].tolist() == partners[COLUMNS[wrong]].tolist()
    if kind == "pair-flip":
        assert made.labels[wrong].tolist() == ((COLUMNS[wrong] + 1) % CLASSES).tolist()


def test_uniform_noise_at_rate_1_leaves_chance_and_symmetric_noise_does_at_its_chance_rate() -> None:
    many = torch.arange(60_000) % CLASSES
    uniform = noise.relabel(many, ids(len(many)), 1.0, noise.transition("uniform", CLASSES), rng=Stream(0)).labels
    # Five standard deviations of a binomial share.
    assert abs(float((uniform == many).float().mean()) - 1 / 6) < 5 * (1 / 6 * 5 / 6 / 60_000) ** 0.5
    rate = (CLASSES - 1) / CLASSES
    symmetric = noise.relabel(many, ids(len(many)), rate, noise.transition("symmetric", CLASSES), rng=Stream(0)).labels
    assert int((symmetric == many).sum()) == 10_000
    table = torch.bincount(many * CLASSES + symmetric, minlength=36).view(6, 6).float() / 10_000
    assert torch.allclose(table, torch.full((6, 6), 1 / 6), atol=0.02)  # labels tell nothing of the class


@pytest.mark.parametrize("kind", ["symmetric", "uniform", "asymmetric", "pair-flip", "transition"])
def test_changes_at_a_low_rate_are_among_those_at_a_higher_one(kind: noise.LabelNoise) -> None:
    shares = [
        [(1 + (r + c) % 3) / sum(1 + (r + k) % 3 for k in range(CLASSES)) for c in range(CLASSES)] for r in range(6)
    ]
    matrix = noise.transition(kind, CLASSES, partners=torch.tensor([3, 0, 5, 4, 1, 2]), matrix=shares)
    low, high = (noise.relabel(COLUMNS, ids(len(COLUMNS)), rate, matrix, rng=Stream(1)) for rate in (0.1, 0.2))
    assert set(low.rows.tolist()) < set(high.rows.tolist())
    assert low.labels[low.rows].tolist() == high.labels[low.rows].tolist()


def test_another_seed_changes_other_rows_and_call_order_does_not_count() -> None:
    matrix = noise.transition("symmetric", CLASSES)
    first = noise.relabel(COLUMNS, ids(len(COLUMNS)), 0.3, matrix, rng=Stream(0))
    other = noise.relabel(COLUMNS, ids(len(COLUMNS)), 0.3, matrix, rng=Stream(1))
    assert (
        first.labels.tolist() == noise.relabel(COLUMNS, ids(len(COLUMNS)), 0.3, matrix, rng=Stream(0)).labels.tolist()
    )
    # Independent draws of 30 % share 9 % of all rows: 54 of 600, with a standard deviation of 5.1.
    assert abs(len(set(first.rows.tolist()) & set(other.rows.tolist())) - 54) < 26


def test_the_labels_given_are_left_as_they_were() -> None:
    before = COLUMNS.clone()
    noise.relabel(COLUMNS, ids(len(COLUMNS)), 1.0, noise.transition("symmetric", CLASSES), rng=Stream(0))
    assert COLUMNS.equal(before)


def test_the_confusable_class_has_the_nearest_mean() -> None:
    x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.1]])
    assert noise.confusable(x, torch.arange(4), 4).tolist() == [1, 0, 1, 2]


def test_the_confusable_class_does_not_depend_on_the_length_or_number_of_vectors() -> None:
    x, columns = memory().x, torch.arange(200) % 4
    expected = noise.confusable(x, columns, 4).tolist()
    means = torch.stack([normalise(normalise(x[columns == c]).mean(0)) for c in range(4)])
    assert expected == (means @ means.T - 2 * torch.eye(4)).argmax(1).tolist()
    assert noise.confusable(x * torch.linspace(0.1, 9, 200).unsqueeze(1), columns, 4).tolist() == expected
    more = torch.cat([torch.arange(200), *[(columns == 2).nonzero().squeeze(1)] * 3])
    assert noise.confusable(x[more], columns[more], 4).tolist() == expected


def test_a_transition_matrix_is_followed_and_its_zeros_are_never_drawn() -> None:
    matrix = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.0, 0.75]]
    columns = torch.arange(30_000) % 3
    made = noise.relabel(
        columns, ids(len(columns)), 1.0, noise.transition("transition", 3, matrix=matrix), rng=Stream(0)
    ).labels
    share = torch.bincount(columns * 3 + made, minlength=9).view(3, 3).double() / 10_000
    assert torch.allclose(share, torch.tensor(matrix, dtype=torch.float64), atol=0.025)
    assert (share[torch.tensor(matrix) == 0] == 0).all()


@pytest.mark.parametrize("matrix", [None, [[1.0]], [[0.5, 0.6], [0.0, 1.0]], [[1.5, -0.5], [0.0, 1.0]]])
def test_a_bad_transition_matrix_is_refused(matrix: list[list[float]] | None) -> None:
    with pytest.raises(BenchError, match="transition matrix"):
        noise.transition("transition", 2, matrix=matrix)


def test_recorded_labels_are_used_in_exact_shares_of_those_that_disagree() -> None:
    ids = np.array([f"i{n}" for n in range(10)])
    columns = torch.zeros(10, dtype=torch.int64)
    labels = {"i1": 2, "i3": 1, "i4": 0, "i7": 1, "i9": 2}
    whole = noise.recorded(columns, ids, labels, 1.0, rng=Stream(0))
    assert whole.labels.tolist() == [0, 2, 0, 1, 0, 0, 0, 1, 0, 2]
    half = noise.recorded(columns, ids, labels, 0.5, rng=Stream(0))
    assert int((half.labels != 0).sum()) == 2
    assert set(half.rows.tolist()) < {1, 3, 7, 9}
    with pytest.raises(BenchError, match="'stranger'"):
        noise.recorded(columns, ids, {"stranger": 1}, 1.0, rng=Stream(0))


@pytest.mark.parametrize("kind", ["wrong-class", "off-topic", "corrupted"])
def test_memory_noise_changes_the_named_rows_and_no_others(kind: str) -> None:
    items = memory(scale=10.0)
    before = items.x.clone()
    low, high = (spoil(kind, items, rate, Stream(0)) for rate in (0.1, 0.2))
    assert (len(low.rows), len(high.rows)) == (20, 40)
    assert set(low.rows.tolist()) < set(high.rows.tolist())
    for made in (low, high):
        assert different(made, items).nonzero().squeeze(1).tolist() == made.rows.tolist()
        assert made.items.ids.tolist() == items.ids.tolist()
        assert torch.allclose(made.items.x.norm(dim=1), items.x.norm(dim=1), rtol=1e-5)
    assert torch.allclose(low.items.x[low.rows], high.items.x[low.rows], atol=1e-4)
    assert low.items.labels[low.rows].tolist() == high.items.labels[low.rows].tolist()
    assert items.x.equal(before)
    assert set(high.items.labels.tolist()) <= {3, 5, 7, 12}
    none = spoil(kind, items, 0.0, Stream(0))
    assert not len(none.rows)
    assert not different(none, items).any()
    assert none.items.x is items.x  # a memory-mapped file of clean items is not copied


def test_corruption_has_the_cosine_its_strength_says() -> None:
    items = memory(m=400, d=256)
    made = noise.corrupted(items, 1.0, rng=Stream(0), strength=1.0).items
    cosine = (normalise(made.x) * normalise(items.x)).sum(1)
    assert abs(float(cosine.mean()) - 2**-0.5) < 0.02


def test_off_topic_items_have_the_spread_of_the_memory_and_no_class() -> None:
    m, d = 4000, 8
    g = Stream(0).child("test").numpy()
    centres = 0.5 * g.standard_normal((4, d)) + 2
    x = torch.from_numpy(centres[np.arange(m) % 4] + 0.05 * g.standard_normal((m, d))).float()
    items = replace(memory(m), x=normalise(x))
    made = noise.off_topic(items, 1.0, rng=Stream(1)).items.x
    assert torch.allclose(made.mean(0), items.x.mean(0), atol=0.02)
    assert torch.allclose(made.T.cov(), items.x.T.cov(), atol=0.01)
    means = torch.stack([items.x[n::4].mean(0) for n in range(4)])
    # A right item is much nearer to its class than to the others; an off-topic one lies as near to some other class.
    own = torch.cdist(made, means).argmin(1) == torch.arange(m) % 4
    assert abs(float(own.float().mean()) - 0.25) < 0.05


def test_off_topic_items_come_from_the_pool_if_there_is_one() -> None:
    items, pool = memory(), replace(memory(3), x=normalise(torch.eye(12)[:3]))
    made = noise.off_topic(items, 0.5, rng=Stream(0), pool=pool)
    found = torch.cdist(made.items.x[made.rows].float(), pool.x).min(1).values
    assert len(made.items.x[made.rows].float().argmax(1).unique()) == 3
    assert float(found.max()) < 1e-5
