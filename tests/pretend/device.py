"""A pretend CUDA device: what a GPU would refuse is refused, and what it would wait for is counted, on any machine.

    with pretend_cuda() as counts:
        task = task.to("cuda")                       # tensors say that they are on cuda:0 and are computed on the CPU
        with counts.during() as one:
            method.score(state, queries.to("cuda"))  # RuntimeError where devices are mixed, TypeError for .numpy()
        assert one.waits.total() <= 2, one.waits     # by source line

It enforces what CUDA enforces: operands lie on one device (a CPU tensor of no dimensions goes with the card as a number
does, and indices from the host may index a tensor of the card); ``.numpy()`` and ``np.asarray`` of a tensor of the card
raise; a generator of the CPU draws nothing on the card.

To count in a test of one's own, take :meth:`~tests.pretend.counts.Counts.during` around what is to be bounded, and
:func:`~tests.pretend.counts.grown` to find the lines whose work grows with the problem.

It is no GPU: sums are those of the CPU, so that an answer differs from the CPU's only where the code takes another path
for it; memory has no end; nothing runs asynchronously, so that an asynchronous copy that is read too early goes unseen;
autocast does nothing. An optimiser steps through its weights one by one, where CUDA takes them together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from tests.pretend.counts import Counts, grown, source
from tests.pretend.modes import Arithmetic, Names
from tests.pretend.tensor import CARD, OnCard

__all__ = ["CARD", "Counts", "OnCard", "grown", "pretend_cuda"]

_MEMORY = 16 << 30
"""Bytes that the card says it has."""


@contextmanager
def pretend_cuda() -> Iterator[Counts]:
    """Let there be one CUDA device inside the block, and yield what it is asked to do.

    Afterwards torch is as it was. Tensors of the card that outlive the block compute nothing any more.
    """
    counts = Counts()
    with ExitStack() as stack:
        # What a run on a card sets for its libraries is no concern of the next test.
        stack.enter_context(patch.dict(os.environ))
        stack.enter_context(patch.multiple(torch.cuda, **_card(counts)))
        if hasattr(torch, "accelerator"):
            # An optimiser asks it whether a graph is being recorded, which only a driver can tell.
            stack.enter_context(patch.object(torch.accelerator, "current_accelerator", lambda *_, **__: None))
        stack.enter_context(Names())
        stack.enter_context(Arithmetic(counts))
        yield counts


def _card(counts: Counts) -> dict[str, Any]:
    """Return what ``torch.cuda`` says of the card."""

    def synchronize(device: Any = None) -> None:
        counts.waits[source()] += 1

    properties = SimpleNamespace(
        name="Pretend GPU", major=9, minor=0, total_memory=_MEMORY, multi_processor_count=132, uuid="pretend"
    )
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "is_current_stream_capturing": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: properties.name,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "mem_get_info": lambda device=None: (_MEMORY, _MEMORY),
        "memory_allocated": lambda device=None: 0,
        "max_memory_allocated": lambda device=None: 1 << 20,
        "reset_peak_memory_stats": lambda device=None: None,
        "empty_cache": lambda: None,
        "synchronize": synchronize,
    }
