"""The block over neighbours named by their places gives what the plain form gives, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.cost.flops import count
from bench.functional import fused_attention
from bench.functional.attention import Block, attend, standardise, transform
from bench.functional.fused_attention import Neighbours, bag_dots_work, dots, mixed, transform_near
from bench.utils.random import Stream

D, K, Q = 24, 5, 7


def problem(dtype: torch.dtype, d: int = D) -> tuple[Block, Tensor, Neighbours]:
    """Return a block with no weight at zero or one, features, and neighbours of which some are met twice."""
    g = Stream(3).torch()
    block = Block.initial(d, Stream(0)).map(
        lambda w: (w + 0.1 * torch.randn(w.shape, generator=g)).to(dtype).requires_grad_(True)
    )
    f = torch.randn(Q, d, generator=g).to(dtype)
    items = standardise(torch.randn(9, d, generator=g).to(dtype))
    return block, f, Neighbours(items, torch.randint(0, 9, (Q, K), generator=g))


def gradients(block: Block, h: Tensor) -> list[Tensor | None]:
    g = torch.randn(h.shape, generator=Stream(5).torch()).to(h.dtype)
    return list(torch.autograd.grad(h, block.tensors(), g, allow_unused=True))


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_the_plain_form(dtype: torch.dtype, apart: float) -> None:
    assert bag_dots_work()
    block, f, near = problem(dtype)
    plain, fused = transform(block, f, attend(block, f, near.each), near.each), transform_near(block, f, near)
    assert fused.grad_fn is not None
    assert "_Transform" in type(fused.grad_fn).__name__
    torch.testing.assert_close(fused, plain, rtol=apart, atol=apart)
    # The biases of keys have no part in either.
    ours, theirs = gradients(block, fused), gradients(block, plain)
    assert sum(one is None for one in ours) == 2
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=10 * apart, atol=10 * apart)


def test_without_the_operation_that_is_no_public_one_the_plain_form_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    block, f, near = problem(torch.float64)
    expected = transform_near(block, f, near)

    def gone(*args: object) -> Tensor:
        raise RuntimeError

    monkeypatch.setattr(fused_attention, "dots", gone)
    bag_dots_work.cache_clear()
    try:
        assert not bag_dots_work()
        found = transform_near(block, f, near)
    finally:
        monkeypatch.undo()
        bag_dots_work.cache_clear()
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert bag_dots_work()


def test_an_operation_that_gives_other_products_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_attention, "dots", lambda x, items, places: torch.zeros(places.shape))
    bag_dots_work.cache_clear()
    assert not bag_dots_work()
    monkeypatch.undo()
    bag_dots_work.cache_clear()


def test_sums_and_products_at_places() -> None:
    _, f, near = problem(torch.float64)
    weights = torch.rand(Q, K, generator=Stream(1).torch(), dtype=torch.float64)
    torch.testing.assert_close(dots(f, near.items, near.places), torch.einsum("qd,qkd->qk", f, near.each))
    torch.testing.assert_close(mixed(weights, near.items, near.places), torch.einsum("qk,qkd->qd", weights, near.each))


def test_features_that_take_a_gradient_get_theirs() -> None:
    block, f, near = problem(torch.float64)
    f.requires_grad_(True)
    (ours,) = torch.autograd.grad(transform_near(block, f, near).sum(), f)
    (theirs,) = torch.autograd.grad(transform(block, f, attend(block, f, near.each), near.each).sum(), f)
    torch.testing.assert_close(ours, theirs)
    assert bool(ours.abs().max() > 0)


def test_a_step_counts_what_its_products_take() -> None:
    d = 64
    block, f, near = problem(torch.float32, d)
    assert bag_dots_work()
    with torch.no_grad():
        assert count(lambda: transform_near(block, f, near)).products == 2 * Q * (12 * d * d + 2 * K * d)
    # The gradients of twelve d x d of weights, of what they are given but the features, and twice of the neighbours.
    whole = count(lambda: gradients(block, transform_near(block, f, near))).products
    assert whole == 2 * Q * (35 * d * d + 4 * K * d) + 2 * 2 * d * d
