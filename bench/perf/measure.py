"""What ``bench perf`` measures and prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.perf.comparisons import COMPARISONS, Comparison
from bench.perf.machine import limits
from bench.perf.timing import in_turn


def measure(device: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the limits of the CPU, and of the GPU for ``cuda``, and every comparison that runs there.

    Parameters
    ----------
    progress : callable
        Given the name of each measurement as it begins.
    """
    devices = ["cpu"] if device == "cpu" else ["cpu", "cuda"]
    found: dict[str, Any] = {"torch": torch.__version__, "limits": [], "comparisons": []}
    for one in devices:
        progress(f"limits of {one}")
        found["limits"].append(limits(one))
    for one in devices:
        for comparison in COMPARISONS:
            if one in comparison.devices:
                progress(f"{comparison.name} on {one}")
                found["comparisons"].append(compare(comparison, one))
    return found


def compare(comparison: Comparison, device: str) -> dict[str, Any]:
    """Return the seconds of each side, and how many times as long as ours each of the others takes."""
    taken = in_turn(comparison.make(device).sides, device)
    ours = next(iter(taken))
    return {
        "name": comparison.name,
        "what": comparison.what,
        "device": device,
        "seconds": taken,
        "ours": ours,
        "times_ours": {side: taken[side] / taken[ours] for side in taken if side != ours},
    }


def as_text(found: dict[str, Any]) -> str:
    """Return the measurements as a table for a terminal."""
    lines = []
    for limit in found["limits"]:
        extra = f", {limit['threads']} of {limit['cores']} cores" if "threads" in limit else ""
        lines.append(f"{limit['device']}: {limit['name']}{extra}, torch {found['torch']}")
        lines.append(
            f"  product fp32 {limit['fp32_gflops']:,.0f} GFLOP/s, bf16 {limit['bf16_gflops']:,.0f} GFLOP/s, "
            f"int8 {limit['int8_gops']:,.0f} GOP/s, "
            f"copy {limit['copy_gb_per_second']:,.1f} GB/s"
        )
    for one in found["comparisons"]:
        lines += ["", f"{one['name']} on {one['device']}: {one['what']}"]
        for side, taken in one["seconds"].items():
            ratio = f"{one['times_ours'][side]:8.2f} x ours" if side in one["times_ours"] else "    ours"
            lines.append(f"  {side:14}{taken * 1000:10.1f} ms{ratio}")
    return "\n".join(lines)
