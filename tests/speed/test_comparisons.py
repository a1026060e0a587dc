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
}
"""What stands side by side, the harness's own first."""
ON_CPU_ONLY = ("faiss_flat", "numpy")


@cache
def trial(comparison: Comparison, device: str) -> Trial:
    return comparison.make(device)


def test_every_comparison_is_timed_here() -> None:
    assert {c.name: tuple(trial(c, "cpu").sides) for c in COMPARISONS} == SIDES


@pytest.mark.parametrize(
    ("comparison", "side"),
    [pytest.param(c, side, id=f"{c.name}-{side}") for c in COMPARISONS for side in SIDES[c.name]],
)
def test_sides_agree(benchmark: Any, comparison: Comparison, side: str) -> None:
    agree(benchmark, comparison, side, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    ("comparison", "side"),
    [
        pytest.param(c, side, id=f"{c.name}-{side}")
        for c in COMPARISONS
        if "cuda" in c.devices
        for side in SIDES[c.name]
        if side not in ON_CPU_ONLY
    ],
)
def test_sides_agree_on_a_gpu(benchmark: Any, comparison: Comparison, side: str) -> None:
    agree(benchmark, comparison, side, "cuda")


def agree(benchmark: Any, comparison: Comparison, side: str, device: str) -> None:
    """Time one side, and compare its answer with the first side's."""
    benchmark.group = f"{comparison.name}, {comparison.what}" + (" on a GPU" if device == "cuda" else "")
    sides, tolerance = trial(comparison, device).sides, trial(comparison, device).tolerance

    def run() -> torch.Tensor:
        answer = sides[side]()
        if device == "cuda":
            # A call returns before the device is done with it.
            torch.cuda.synchronize()
        return answer

    # A single pause of a shared machine takes longer than what is quick, so that is timed more often.
    rounds = 1 if benchmark.disabled else max(3, min(30, int(0.3 / seconds(run, device))))
    found = benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=int(not benchmark.disabled))
    torch.testing.assert_close(found, next(iter(sides.values()))(), atol=tolerance, rtol=0)
