"""The measured limits of a machine: what no arrangement of the same products and copies can beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.perf.timing import in_turn
from bench.runner.provenance import processor
from bench.utils.threads import cores

_SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the square matrices that are multiplied."""
_COPIED = {"cpu": 256 << 20, "cuda": 4 << 30}
"""Bytes that are copied: more than a cache holds."""


def limits(device: str, *, side: int | None = None, copied: int | None = None) -> dict[str, Any]:
    """Return what a device is and does: products in 10^9 operations a second, a copy in GB/s, read and written once.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda``.
    side : int, optional
        Rows and columns of the matrices that are multiplied, where the device's usual ones are too large.
    copied : int, optional
        Bytes that are copied.
    """
    n = side or _SIDE[device]
    source = torch.ones(copied or _COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = in_turn(
        {
            "fp32": _product(n, torch.float32, device),
            "bf16": _product(n, torch.bfloat16, device),
            "int8": _whole_product(n, device),
            "copy": lambda: target.copy_(source),
        },
        device,
    )
    about: dict[str, Any] = (
        {"device": "cpu", "name": processor(), "cores": cores(), "threads": torch.get_num_threads()}
        if device == "cpu"
        else {"device": device, "name": torch.cuda.get_device_name()}
    )
    return about | {
        "fp32_gflops": 2 * n**3 / taken["fp32"] / 1e9,
        "bf16_gflops": 2 * n**3 / taken["bf16"] / 1e9,
        "int8_gops": 2 * n**3 / taken["int8"] / 1e9,
        "copy_gb_per_second": 2 * len(source) / taken["copy"] / 1e9,
    }


def _product(n: int, dtype: torch.dtype, device: str) -> Callable[[], torch.Tensor]:
    a = torch.ones(n, n, dtype=dtype, device=device)
    return lambda: a @ a


def _whole_product(n: int, device: str) -> Callable[[], torch.Tensor]:
    a = torch.ones(n, n, dtype=torch.int8, device=device)
    return lambda: torch._int_mm(a, a)
