"""The GPUs that this process may use, and which of them each of several workers gets."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch


def visible(device: str) -> int:
    """Return how many GPUs a run on a device may use: all visible ones for ``cuda``, one for ``cuda:N``, or none."""
    if device == "cuda":
        return torch.cuda.device_count()
    return 1 if device.startswith("cuda") else 0


def share(device: str, number: int) -> dict[str, str]:
    """Return what to add to a worker's environment so that it sees one GPU alone; workers take them in turn.

    Parameters
    ----------
    device : str
        Where the run computes; nothing is added on the CPU, or where there is one GPU.
    number : int
        The worker's place, from 0.
    """
    count = visible(device)
    if count < 2:
        return {}
    names = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return {"CUDA_VISIBLE_DEVICES": names.split(",")[number % count].strip()}


def kinds(device: str) -> list[str]:
    """Return the name and size of every GPU among which workers are dealt; nothing where the user named one."""
    numbers = range(visible(device)) if device == "cuda" else ()
    cards = [torch.cuda.get_device_properties(n) for n in numbers]
    return [f"{card.name} of {card.total_memory / 2**30:.0f} GiB" for card in cards]


def difference(kinds: Iterable[str]) -> str | None:
    """Return what the user should know of GPUs of several kinds; None if they are all of one."""
    found = sorted(set(kinds))
    if len(found) < 2:
        return None
    return (
        f"the GPUs differ ({', '.join(found)}), so last digits may too; each record's provenance names the one it was "
        "computed on; where a cell does not fit into the smaller, choose the larger by CUDA_VISIBLE_DEVICES"
    )
