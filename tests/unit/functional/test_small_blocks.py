"""Queries whose features are many numbers are scored some at a time."""

from __future__ import annotations

import pytest
import torch

from bench.core.registry import METHODS
from bench.functional import blocks
from bench.functional.blocks import in_small_blocks
from bench.utils.random import Stream
from tests import toy


@pytest.mark.parametrize("n", [0, 1, 512, 513, 1100])
def test_a_processor_meets_at_most_512_queries_at_a_time(n: int) -> None:
    queries, met = torch.arange(3.0 * n).view(n, 3), []

    def logits(x: torch.Tensor) -> torch.Tensor:
        met.append(len(x))
        return 2 * x

    assert torch.equal(in_small_blocks(queries, logits), 2 * queries)
    assert sum(met) == n
    assert max(met) <= 512


@pytest.mark.parametrize("name", ["klda", "ranpac"])
def test_scores_in_blocks_are_those_of_all_queries_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task, method = toy.task((1, 7, 9), images=False), METHODS.get(name).cls(width=300)
    state = method.build(task, rng=Stream(0))
    queries = torch.from_numpy(Stream(1).numpy().standard_normal((700, task.dimension))).float()
    parts = method.score(state, queries)
    monkeypatch.setattr(blocks, "_FEW", len(queries))
    whole = method.score(state, queries)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=float(1e-6 * whole.abs().max()))
