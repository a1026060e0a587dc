"""The pretend device itself: what it refuses, what it lets through, what it counts, and that nothing of it stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tests.pretend.device import CARD, Counts, OnCard, grown, pretend_cuda


@pytest.fixture
def card() -> Iterator[Counts]:
    with pretend_cuda() as counts:
        yield counts


def on_card(*shape: int) -> Tensor:
    return torch.arange(float(np.prod(shape))).reshape(shape).to("cuda")


REFUSED: dict[str, tuple[Callable[[Tensor], Any], type[Exception], str]] = {
    "a sum": (lambda x: x + torch.ones(3), RuntimeError, "same device"),
    "a product": (lambda x: torch.ones(2, 4) @ x, RuntimeError, "same device"),
    "a list of parts, one of them empty": (lambda x: torch.cat([x, torch.zeros(0, 3)]), RuntimeError, "same device"),
    "rows gathered by CPU positions": (lambda x: x.index_select(0, torch.tensor([1])), RuntimeError, "same device"),
    "membership in a CPU list": (lambda x: torch.isin(x, torch.ones(2)), RuntimeError, "same device"),
    "a CPU tensor indexed from the card": (lambda x: torch.ones(4)[x[:, 0].long() % 4], RuntimeError, "indices should"),
    "CPU values assigned by index": (
        lambda x: x.__setitem__(torch.tensor([0, 1]), torch.ones(2, 3)),
        RuntimeError,
        "same device",
    ),
    "numpy": (lambda x: x.numpy(), TypeError, "Tensor.cpu"),
    "asarray": (np.asarray, TypeError, "Tensor.cpu"),
    "a CPU generator in place": (lambda x: x.uniform_(generator=torch.Generator()), RuntimeError, "generator"),
    "a CPU generator for new numbers": (
        lambda x: torch.randn(3, device=x.device, generator=torch.Generator()),
        RuntimeError,
        "generator",
    ),
    "a CPU generator for an order": (
        lambda x: torch.randperm(3, device="cuda", generator=torch.Generator()),
        RuntimeError,
        "generator",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_cuda_refuses(case: str, card: Counts) -> None:
    act, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        act(on_card(4, 3))


LET_THROUGH: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "a number": (lambda x: 2 * x + 1, lambda x: 2 * x + 1),
    "a CPU tensor of no dimensions": (lambda x: x * torch.tensor(3.0), lambda x: x * 3),
    "CPU positions": (lambda x: x[torch.tensor([2, 0])], lambda x: x[[2, 0]]),
    "a CPU mask": (lambda x: x[torch.tensor([True, False, True, False])], lambda x: x[[0, 2]]),
    "a numpy mask": (lambda x: x[np.array([True, False, True, False])], lambda x: x[[0, 2]]),
    "a list": (lambda x: x[[3, 1]], lambda x: x[[3, 1]]),
    "a list of nothing": (lambda x: x[[]], lambda x: x[[]]),
    "a list beside a slice": (lambda x: x[1:, [2, 0]], lambda x: x[1:, [2, 0]]),
    "new numbers like it": (lambda x: x.new_tensor([1, 2]) + x.new_ones(2), lambda x: torch.tensor([2.0, 3.0])),
    "a new tensor of a tensor": (lambda x: x.new_tensor(np.float64(1.5)), lambda x: torch.tensor(1.5)),
    "data": (lambda x: torch.tensor([1.0, 2.0], device=x.device), lambda x: torch.tensor([1.0, 2.0])),
    "an array": (lambda x: torch.as_tensor(np.arange(3), device="cuda"), lambda x: torch.arange(3)),
    "the other's device": (lambda x: torch.ones(3).to(x) + x[0], lambda x: 1 + x[0]),
    "a change in a view": (lambda x: _filled(x), lambda x: _filled(x)),
    "an inverse": (lambda x: torch.linalg.inv(x[:2, :2]), lambda x: torch.linalg.inv(x[:2, :2])),
    "classes in one-hot": (lambda x: F.one_hot(x[0].long(), 5), lambda x: F.one_hot(x[0].long(), 5)),
}


def _filled(x: Tensor) -> Tensor:
    x[1:3, 1].fill_(7.0)
    x[0] = torch.arange(3.0)
    return x


@pytest.mark.parametrize("case", LET_THROUGH)
def test_computes_what_the_cpu_computes(case: str, card: Counts) -> None:
    there, here = LET_THROUGH[case]
    found = there(on_card(4, 3))
    assert isinstance(found, OnCard)
    assert found.device == CARD
    assert found.is_cuda
    assert found.device != torch.device("cuda"), "as with CUDA, a device without a number is another"
    assert torch.equal(found.cpu(), here(torch.arange(12.0).reshape(4, 3)))


def test_weights_are_trained_on_it(card: Counts) -> None:
    """Gradients go through copies between the devices, and an optimiser steps."""

    def trained(device: str) -> tuple[Tensor, Tensor]:
        outer = torch.ones(3, requires_grad=True)
        inner = (torch.arange(6.0).reshape(3, 2) / 6).to(device).requires_grad_(True)
        optimiser = torch.optim.Adam([inner], lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            F.cross_entropy(outer.to(device) * on_cpu.to(device) @ inner, target.to(device)).backward()
            optimiser.step()
        assert outer.grad is not None
        return inner.detach().cpu(), outer.grad

    on_cpu, target = torch.arange(12.0).reshape(4, 3) / 12, torch.tensor([0, 1, 1, 0])
    for there, here in zip(trained("cuda"), trained("cpu"), strict=True):
        torch.testing.assert_close(there, here)


def test_a_module_moves_there(card: Counts) -> None:
    model = torch.nn.Linear(3, 2).to("cuda")
    assert model.weight.device == CARD
    assert isinstance(model(on_card(4, 3)), OnCard)


COUNTED: dict[str, tuple[Callable[[Tensor], Any], tuple[bool, int, int]]] = {
    "a kernel": (lambda x: x.mul(2), (True, 0, 0)),
    "a view": (lambda x: x.T[1:].unsqueeze(0), (False, 0, 0)),
    "room": (torch.empty_like, (False, 0, 0)),
    "a number read back": (lambda x: float(x.sum()), (True, 1, 0)),
    "a comparison that decides": (lambda x: bool((x > 3).any()), (True, 1, 0)),
    "rows where a mask is true": (lambda x: x[x[:, 0] > 3], (True, 1, 0)),
    "values that occur": (lambda x: x.unique(), (True, 1, 0)),
    "how many of each": (lambda x: torch.bincount(x[0].long(), minlength=4), (True, 1, 0)),
    "a factor": (lambda x: torch.linalg.cholesky(torch.eye(2, device=x.device)), (True, 1, 0)),
    "an inverse that nobody checks": (lambda x: torch.linalg.inv_ex(torch.eye(2, device=x.device)), (True, 0, 0)),
    "a copy to the host": (lambda x: x.cpu(), (False, 1, 1)),
    "a copy to the host that nobody waits for": (lambda x: x.to("cpu", non_blocking=True), (False, 0, 1)),
    "a list": (lambda x: x.tolist(), (False, 1, 1)),
    "a copy to the card": (lambda x: torch.ones(3).to(x.device), (False, 0, 1)),
    "positions from the host": (lambda x: x[torch.tensor([0, 1])], (True, 0, 1)),
    "the end of all work": (lambda x: torch.cuda.synchronize(), (False, 1, 0)),
}
"""Whether it launches anything, its waits and its copies; how many kernels an operation takes is torch's affair."""


@pytest.mark.parametrize("case", COUNTED)
def test_counts_launches_waits_and_copies(case: str, card: Counts) -> None:
    act, expected = COUNTED[case]
    x = on_card(4, 3)
    with card.during() as one:
        act(x)
    launches, waits, copies = one.totals()
    assert (launches > 0, waits, copies) == expected


def test_counts_by_the_line_that_asked(card: Counts) -> None:
    x = on_card(4, 3)
    with card.during() as few:
        _one_by_one(x[:2])
    with card.during() as many:
        _one_by_one(x)
    assert all(line.startswith("tests/pretend/test_device.py:") for line in many.launches)
    (where,) = {key.removeprefix("waits at ") for key in grown(few, many) if key.startswith("waits")}
    assert grown(few, many)[f"waits at {where}"] == (2, 4)
    assert not grown(many, many)


def _one_by_one(x: Tensor) -> list[float]:
    return [float(row.sum()) for row in x]


def test_leaves_torch_as_it_was() -> None:
    before = {name: getattr(torch.cuda, name) for name in ("is_available", "synchronize", "mem_get_info")}
    left = _broken_off()
    assert "LEFT_BY_A_CARD" not in os.environ
    assert {name: getattr(torch.cuda, name) for name in before} == before
    assert type(torch.ones(2, device="meta") + 1) is Tensor
    with pytest.raises(RuntimeError, match="outside of"):
        left + left


def _broken_off() -> Tensor:
    """Return a tensor of a card whose block an error ended."""
    try:
        with pretend_cuda():
            assert torch.cuda.is_available()
            os.environ["LEFT_BY_A_CARD"] = "1"
            left = on_card(2, 2)
            raise ZeroDivisionError
    except ZeroDivisionError:
        return left
