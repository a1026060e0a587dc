"""The comparisons that ``bench perf`` prints, ours and a reference in one group, each named in the test's id.

Run with ``make speed``. Machines are noisy: read ratios within a group, not seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from bench.perf.comparisons import COMPARISONS, Comparison, Trial
from bench.perf.timing import seconds

SIDES = {
    "search": ("exact", "torch_topk", "faiss_flat"),
    "vote": ("neighbour_votes", "naive", "numpy"),
    "prototypes": ("class_means", "naive"),
    "linear-probe": ("path", "sklearn"),
    "mml-train-step": ("folded", "per_neighbour"),
    "mml-train-epoch": ("found_before", "in_every_batch"),
    "incremental": ("extended", "rebuilt"),
    "report": ("scores", "naive"),
    "bootstrap": ("poisson", "naive"),
}
"""What stands side by side, the harness's own first."""


@cache
def trial(comparison: Comparison) -> Trial:
    return comparison.make("cpu")


def test_every_comparison_is_timed_here() -> None:
    assert {c.name: tuple(trial(c).sides) for c in COMPARISONS} == SIDES


@pytest.mark.parametrize(
    ("comparison", "side"),
    [pytest.param(c, side, id=f"{c.name}-{side}") for c in COMPARISONS for side in SIDES[c.name]],
)
def test_sides_agree(benchmark: Any, comparison: Comparison, side: str) -> None:
    benchmark.group = f"{comparison.name}, {comparison.what}"
    run = trial(comparison).sides[side]
    once = seconds(run, "cpu")
    # A single pause of a shared machine takes longer than what is quick, so that is timed more often.
    rounds = 3 if benchmark.disabled else max(3, min(30, int(0.3 / once)))
    found = benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=1)
    ours = next(iter(trial(comparison).sides.values()))()
    torch.testing.assert_close(found, ours, atol=trial(comparison).tolerance, rtol=0)
