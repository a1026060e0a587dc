"""How much of a search a device does at a time: as much as its free memory takes, so that its kernels stay few.

A processor's blocks fit its cache and are chosen where it searches. Elsewhere every operation is a kernel to launch,
whatever its size, so blocks are as large as there is room for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from bench.utils.errors import BenchError, Notice

T = TypeVar("T")

_SHARE = 0.25
"""Share of the memory that is free on a device which one block may take; torch keeps what it took for the next."""
_MOST = 2 << 30
"""Bytes of the largest block: with more, kernels would hardly become fewer, and a search's peak would hide others'."""
_PLAIN = 1 << 30
"""Bytes of a block where a device does not tell how much is free."""

_PROCESSOR = "cpu"

_crowded: set[torch.device] = set()
"""Devices that had less memory than they told; their blocks are halved from then on."""


def on_processor(x: Tensor) -> bool:
    """Return whether a tensor lies in the processor's memory, where faiss and small blocks are fastest."""
    return x.device.type == _PROCESSOR


@dataclass(frozen=True)
class Room:
    """The memory that one block of a search may take.

    Attributes
    ----------
    nbytes : int
    """

    nbytes: int

    def rows(self, each: int) -> int:
        """Return how many rows of ``each`` bytes fit, at least one."""
        return max(1, self.nbytes // max(1, each))

    @classmethod
    def of(cls, device: torch.device) -> Room:
        """Return the room on a device: a quarter of what is free, at most 2 GiB; 1 GiB where it cannot be asked."""
        free = _free(device)
        most = _PLAIN if free is None else min(_MOST, int(_SHARE * free))
        return cls(most // 2 if device in _crowded else most)


def _free(device: torch.device) -> int | None:
    """Return the bytes that torch could still give out on a device; None where that cannot be asked."""
    if device.type != "cuda":
        return None
    try:
        free, _ = torch.cuda.mem_get_info(device)
    # Without a driver or a build for one, torch raises either.
    except (RuntimeError, AssertionError):
        return None
    # What torch holds and nobody uses is free for its next tensor.
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def in_room(device: torch.device, work: Callable[[Room], T]) -> T:
    """Return ``work(room)``; where the device runs out of memory, once more with half the room.

    A device that ran out keeps halved blocks as long as the process lives, and that is said once.

    Raises
    ------
    BenchError
        If half the room is too much as well.
    """
    room = Room.of(device)
    try:
        return work(room)
    except torch.OutOfMemoryError:
        if device in _crowded:
            raise _full(device, room) from None
    # Outside the handler, so that the failed attempt's tensors are free before the next one.
    _crowded.add(device)
    half = Room(room.nbytes // 2)
    warnings.warn(
        f"{device} has too little memory for blocks of {_mib(room)}; searches go on in blocks of {_mib(half)}",
        Notice,
        stacklevel=2,
    )
    try:
        return work(half)
    except torch.OutOfMemoryError:
        raise _full(device, half) from None


def _full(device: torch.device, room: Room) -> BenchError:
    return BenchError(
        f"{device} is full: a search in blocks of {_mib(room)} finds no room; end what else uses it, give it a smaller "
        "memory, or run with --device cpu"
    )


def _mib(room: Room) -> str:
    return f"{room.nbytes / (1 << 20):.0f} MiB"
