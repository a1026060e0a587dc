"""Peak memory and energy of a phase, if the system reports them."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_LONG = 1 << 14
"""Bytes that hold all of the status file."""
_PEAK = re.compile(rb"VmHWM:\s+(\d+) kB")


def reset() -> bool:
    """Reset the peaks; return whether the system can report that of the CPU."""
    if _on_gpu():
        torch.cuda.reset_peak_memory_stats()
    try:
        # Both files are opened at every change of phases, for which Path's own ways take several times as long.
        file = os.open(_RESET, os.O_WRONLY)
        try:
            # "5" sets the kernel's high-water mark of resident memory to what is resident now (proc_pid_clear_refs(5)).
            os.write(file, b"5")
        finally:
            os.close(file)
    except OSError:
        return False
    return True


def cpu_peak() -> int | None:
    """Return the most bytes of this process that were resident at a time since :func:`reset`; None if unknown.

    It is the kernel's own mark, so no peak is too short to be seen. It holds everything the process has, not what the
    phase added; memory that was allocated and never touched, or was swapped out, is not in it.
    """
    try:
        file = os.open(_STATUS, os.O_RDONLY)
        try:
            found = _PEAK.search(os.read(file, _LONG))
        finally:
            os.close(file)
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


def gpu_peak() -> int | None:
    """Return the most bytes that torch's allocator had given out on the current GPU since :func:`reset`.

    Not in it: the CUDA context, what the allocator keeps in reserve, and what other libraries hold. None without a
    GPU in use.
    """
    return int(torch.cuda.max_memory_allocated()) if _on_gpu() else None


def gpu_joules() -> float | None:
    """Return the energy the current GPU has taken since its driver was loaded, in joules; None if it is not reported.

    The counter is the board's: what other processes do there is in it. It needs the package ``nvidia-ml-py``.
    """
    if not _on_gpu():
        return None
    try:
        pynvml: Any = import_module("pynvml")
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        board: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{board.uuid}")
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    except pynvml.NVMLError:
        return None


def _on_gpu() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
