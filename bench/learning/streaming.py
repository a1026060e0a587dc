"""Streams of queries: the answers of a method that keeps what it saw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.core.protocols import Streams


def in_turn(method: Streams, state: Any, queries: Tensor) -> Tensor:
    """Return the scores [q, c] of queries [q, d] as a stream of their own, answered one by one from its beginning."""
    seen = method.begin(state)
    return torch.cat([method.step(state, seen, query) for query in queries.split(1)])
