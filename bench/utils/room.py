"""How much memory this process may still take, asked before something large is made."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import torch

from bench.utils.errors import BenchError

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """Return the bytes that this process can still take; None where the system does not tell.

    It is the least of what the machine has available, of what is left below the limit of its control group
    (a container's, a cluster job's), and of what is left below ``ulimit -v``.
    """
    found = [left for left in (_machine(), _group(), _address_space()) if left is not None]
    return max(0, min(found)) if found else None


def require_room(nbytes: int, *, what: str, instead: str, device: torch.device) -> None:
    """Raise :class:`BenchError` if something takes more memory than there is; nothing is made.

    Parameters
    ----------
    what : str
        What takes it, for the message.
    instead : str
        What to do instead.
    device : torch.device
        Where it is made; elsewhere than in the processor's memory the device itself says when it is full.
    """
    free = free_bytes() if device.type == "cpu" else None
    if free is not None and nbytes > free:
        raise BenchError(
            f"{what} takes {nbytes / 2**30:.3g} GiB of memory and {free / 2**30:.3g} GiB are free; {instead}"
        )


def _machine() -> int | None:
    text = _read(_PROC / "meminfo")
    line = next((line for line in text.splitlines() if line.startswith("MemAvailable:")), "")
    return 1024 * int(line.split()[1]) if line else None


def _group() -> int | None:
    """Return what is left below the limits of the control group (version 2) and of those above it."""
    own = next((line[3:] for line in _read(_PROC / "self/cgroup").splitlines() if line.startswith("0::")), None)
    if own is None:
        return None
    left = []
    folder = _GROUPS / own.lstrip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(_GROUPS):
            break
        most, used = _read(group / "memory.max").strip(), _read(group / "memory.current").strip()
        if most.isdigit() and used.isdigit():
            left.append(int(most) - int(used))
    return min(left, default=None)


def _address_space() -> int | None:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    size = _read(_PROC / "self/statm").split()
    if most == resource.RLIM_INFINITY or not size:
        return None
    return most - int(size[0]) * os.sysconf("SC_PAGE_SIZE")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
