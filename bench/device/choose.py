"""Where to compute: ``auto``, ``cpu`` or a CUDA device, and what is said where there is none."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch

from bench.device.determinism import ready_cublas
from bench.utils.errors import BenchError, Notice

_ALIKE = 0.1
"""Share of their memory by which two cards may differ and still count as of one size."""


def choose_device(wanted: str) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:N`` for one of those or ``auto``, ready to compute the same each time.

    ``auto`` is the current GPU where torch can use one, and the CPU elsewhere. ``cuda:N`` becomes the current GPU
    of this process. What the user may not expect, such as a GPU that torch cannot use, is said as a :class:`Notice`.

    Raises
    ------
    BenchError
        If there is no such device, or torch cannot use it.
    """
    named = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,3}))?", wanted)
    if not named:
        raise BenchError(f"unknown device {wanted!r}; write auto, cpu, cuda or cuda:N")
    if wanted == "cpu":
        return "cpu"
    reason = _unusable()
    if reason is not None:
        if wanted != "auto":
            raise BenchError(f"--device {wanted}, but {reason}, or use --device cpu")
        if "torch sees no" not in reason and torch.version.cuda is not None:
            warnings.warn(Notice(f"computing on the CPU: {reason}"), stacklevel=2)
        return "cpu"
    ready_cublas()
    count = torch.cuda.device_count()
    if named[1] is None:
        _say_if_they_differ(count)
        return "cuda"
    if int(named[1]) >= count:
        known = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise BenchError(
            f"--device {wanted}, but torch sees {count} CUDA device{'s' * (count > 1)}; write {known}, or cuda"
        )
    torch.cuda.set_device(int(named[1]))
    return wanted


def _say_if_they_differ(count: int) -> None:
    """Say which card is taken where another one has more memory."""
    if count < 2:
        return
    cards = [torch.cuda.get_device_properties(n) for n in range(count)]
    here = torch.cuda.current_device()
    largest = max(range(count), key=lambda n: (cards[n].total_memory, n == here))
    if cards[here].total_memory < (1 - _ALIKE) * cards[largest].total_memory:
        warnings.warn(
            Notice(
                f"computing on cuda:{here} ({_card(cards[here])}), and cuda:{largest} is larger "
                f"({_card(cards[largest])}); choose with --device cuda:{largest}, or hide the smaller ones from torch "
                "with CUDA_VISIBLE_DEVICES"
            ),
            stacklevel=3,
        )


def _card(properties: Any) -> str:
    return f"{properties.name}, {properties.total_memory / (1 << 30):.0f} GiB"


def _unusable() -> str | None:
    """Return why torch cannot compute on a GPU and what to do, None if it can."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    if torch.version.cuda is None:
        return "this torch was built without CUDA; install one that has it"
    told = " ".join(" ".join(str(one.message) for one in said).split())
    if "too old" in told:
        found = re.search(r"found version (\d+)", told)
        version = f" (for CUDA {int(found[1]) // 1000}.{int(found[1]) % 1000 // 10})" if found else ""
        return (
            f"the NVIDIA driver{version} is too old for this torch, which is built for CUDA {torch.version.cuda}; "
            "update the driver, install a torch for the older CUDA"
        )
    if told:
        return f"torch cannot start CUDA ({told.partition(' (Triggered')[0][:200].rstrip('.')}); mend that"
    return "torch sees no CUDA device; make one visible to it (nvidia-smi lists them)"
