"""A network whose weights are one vector is trained as the same network is by autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.learning.flat_net import FlatNet
from bench.learning.incremental_net import Net
from bench.learning.training import fit
from bench.utils.random import Stream
from tests import toy
from tests.parity._naive import make

N, D, C, OLD = 40, 12, 7, 4


def net(hidden: int) -> Net:
    made = Net.initial(D, C, hidden=hidden, device=torch.device("cpu"), rng=Stream(0))
    return replace(made, outer=torch.randn(made.outer.shape, generator=Stream(1).torch()) / 4)


def problem() -> dict[str, Any]:
    draw = Stream(2).torch()
    soft = torch.randn(N, OLD, generator=draw).softmax(1)
    return {
        "fixed": 10 * torch.nn.functional.normalize(torch.randn(N, D, generator=draw), dim=1),
        "columns": torch.randint(C - OLD, (N,), generator=draw),
        "soft": soft,
    }


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("how", [{}, {"temperature": 2.0, "share": 3.0, "first": OLD}], ids=["plain", "distilled"])
def test_its_gradient_is_that_of_autograd(hidden: int, how: dict[str, Any]) -> None:
    given = problem() if how else {**problem(), "soft": None}
    plain, flat = net(hidden).trainable(), FlatNet(net(hidden))
    theirs, ours = plain.session_loss(**given, **how), flat.session_loss(**given, **how)
    assert not ours.requires_grad
    torch.testing.assert_close(ours, theirs.detach(), atol=0, rtol=1e-6)
    theirs.backward()
    (vector,) = flat.tensors()
    assert vector.grad is not None
    wanted = torch.cat([torch.zeros(0) if w.grad is None else w.grad.reshape(-1) for w in plain.tensors()])
    torch.testing.assert_close(vector.grad, wanted, atol=1e-6, rtol=1e-5)


def test_it_is_trained_to_the_weights_that_autograd_gives_and_shares_no_memory_with_what_it_gives() -> None:
    given, found = problem(), []
    for kind in (Net.trainable, FlatNet):
        trainable = kind(net(5))  # type: ignore[operator]

        def loss(rows: torch.Tensor, of: Any = trainable) -> torch.Tensor:
            part = {name: rows_of[rows] for name, rows_of in given.items()}
            value: torch.Tensor = of.session_loss(**part, first=OLD)
            return value

        optimiser = torch.optim.Adam(trainable.tensors(), lr=1e-2, weight_decay=1e-3)
        fit(
            trainable.tensors(),
            loss,
            N,
            owner="toy",
            optimiser=optimiser,
            epochs=4,
            batch=16,
            rng=Stream(3),
            cosine=True,
        )
        found.append(trainable.detached())
    for ours, theirs in zip(found[1].tensors(), found[0].tensors(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        assert not torch.equal(ours, torch.zeros_like(ours))
    before = found[1].head.clone()
    trainable.tensors()[0].data.zero_()  # type: ignore[union-attr]
    assert torch.equal(found[1].head, before)


def test_autograd_trains_what_is_computed_in_lower_precision() -> None:
    method = make("replay")
    assert isinstance(method.in_training(net(5)), FlatNet)
    lower = replace(method, training_options=replace(method.training_options, precision="bf16"))
    assert isinstance(lower.in_training(net(5)), Net)
    state = lower.build(toy.task((7, 3)), rng=Stream(0))
    assert lower.score(state, toy.dataset().splits["test"].x).isfinite().all()
