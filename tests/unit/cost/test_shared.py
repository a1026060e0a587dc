"""Work that cells have in common is done once and charged to everyone."""

from __future__ import annotations

import types
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from bench.cost import meter as metering
from bench.cost.kept import Kept
from bench.cost.meter import Meter, Repeats, metered, phase
from bench.cost.shared import name_of, shared
from bench.functional.blocks import in_shared_blocks

X = torch.randn(700, 8, generator=torch.Generator().manual_seed(0))
W = torch.randn(8, 30, generator=torch.Generator().manual_seed(1))
PRODUCTS, ELEMENTWISE = 2 * 700 * 8 * 30, 700 * 30

met: list[int] = []


@pytest.fixture
def there() -> Iterator[Kept[metering.Work]]:
    kept: Kept[metering.Work] = Kept()
    kept.begin("group", several=True)
    met.clear()
    yield kept
    kept.clear()


def cosines(x: Tensor, w: Tensor) -> Tensor:
    met.append(len(x))
    return (x @ w).relu()


def drawn() -> Tensor:
    return shared(("draw", 8, 30), lambda: (W.clone(),))[0]


def cell(kept: Kept[metering.Work], queries: Tensor = X, blocks: int = 1) -> tuple[Tensor, Meter]:
    """Return the answers of a cell, which scores the same block of queries some times over, and its meter."""
    meter, repeats = Meter(), Repeats()
    with kept.for_a_cell(), metered(meter), phase("score"):
        for _ in range(blocks):
            with repeats.like(len(queries)):
                answers = in_shared_blocks(kept.same(queries), cosines, [drawn()], lambda h: h.sum(1, keepdim=True))
    return answers, meter


def test_every_cell_gets_the_same_bits_and_is_charged_the_same(
    there: Kept[metering.Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr(metering, "time", types.SimpleNamespace(perf_counter=tick))
    first, cost = cell(there)
    assert met == [512, 188]
    again, same = cell(there, X.clone())
    assert met == [512, 188]
    assert torch.equal(first, again)
    assert torch.equal(first, cosines(X, W).sum(1, keepdim=True))
    assert cost.flops["score", "product"] == same.flops["score", "product"] == PRODUCTS
    # The features, and the sums that are every cell's own.
    assert cost.flops["score", "elementwise"] == same.flops["score", "elementwise"] == 2 * ELEMENTWISE
    # A second each for the draw and both blocks, whoever did the work; reading the clock takes the rest.
    assert sum(entry.cost.seconds for entry in there._entries.values()) == 3
    assert same.seconds["score"] >= 3
    assert same.processor_seconds > sum(entry.cost.processor_seconds for entry in there._entries.values())


def test_blocks_of_which_the_first_is_counted_are_charged_alike(there: Kept[metering.Work]) -> None:
    costs = [cell(there, blocks=3)[1], cell(there, blocks=3)[1]]
    assert [cost.flops["score", "product"] for cost in costs] == [3 * PRODUCTS] * 2
    assert met == [512, 188]


def test_what_was_not_counted_is_made_anew_for_who_counts(there: Kept[metering.Work]) -> None:
    meter = Meter()
    with there.for_a_cell(), metered(meter), phase("score"):
        with metering.uncounted():
            shared("product", lambda: (X @ W,))
        assert meter.flops["score", "product"] == 0
        (made,) = shared("product", lambda: (X @ W,))
        (again,) = shared("product", lambda: (X @ W,))
    assert made is again
    assert meter.flops["score", "product"] == 2 * PRODUCTS


def test_queries_that_a_cell_wrote_to_are_its_own(there: Kept[metering.Work]) -> None:
    first, _ = cell(there)
    other = X.clone()
    other[0, 0] += 1
    changed, _ = cell(there, other)
    assert not torch.equal(first, changed)
    assert torch.equal(cell(there)[0], first)


def test_features_that_a_cell_wrote_to_are_made_anew(there: Kept[metering.Work]) -> None:
    with there.for_a_cell(), metered(Meter()), phase("score"):
        in_shared_blocks(there.same(X), cosines, [drawn()], lambda h: h.zero_())
    answers, _ = cell(there)
    assert torch.equal(answers, cosines(X, W).sum(1, keepdim=True))


def test_what_does_not_fit_changes_nothing() -> None:
    small: Kept[metering.Work] = Kept(X.nbytes + W.nbytes + 512 * 30 * 4)
    small.begin("group", several=True)
    met.clear()
    (first, cost), (again, same) = cell(small), cell(small)
    assert met == [512, 188, 188]
    assert torch.equal(first, again)
    assert cost.flops == same.flops


def test_nothing_is_shared_outside_a_cell_or_without_a_meter(there: Kept[metering.Work]) -> None:
    assert shared("draw", lambda: (W,))[0] is W
    assert name_of(W) is None
    with there.for_a_cell():
        shared("draw", lambda: (W,))
    assert there.find("draw") is None
